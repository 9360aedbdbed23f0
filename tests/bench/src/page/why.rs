//! Where the time goes in cases whose targets are missed, as profiles of them showed, and what would change it.

/// What is known of a case.
pub fn why(id: &str) -> Option<&'static str> {
    Some(match id {
        "P5" => {
            "Where the time goes (`perf record` of the server, TLS 1.3, one and eight streams): 49 % in the program itself, \
             43 % in the kernel, half of which copies between the page cache, the process and the socket, and 6 % in the C library, \
             which copies too. The clients decrypt and compare on one thread, which \
             bounds one stream as much as the server does, for all registries alike. Larger writes of TLS, or TLS in the kernel, \
             would spare some of the copies."
        }
        "P6" | "P7" => {
            "Where the time goes: the disk. After some gigabytes it takes a third of what it took at first (compare the runs), and \
             from then on every registry waits for it. A chunk is durable here when it is acknowledged."
        }
        "P8" => {
            "Where the time goes (`strace -f -c` and `perf record` of the server): an image takes five syncs one after the other (the \
             layer's file, its directory, and the log once for each of three answers), 2 ms of 6 with one client, and some 70 changes \
             of threads; 69 % of the server's processor time is the kernel's. With 32 clients a quarter of all of it is ext4 looking \
             for a number for a new file, which takes long while files were deleted in the last minutes, for every registry. Fewer \
             changes of threads between an answer and the log would spare most."
        }
        "P14" => {
            "Where the time goes: the store puts the parts together, in one answer of its own (longest answer of the store), which \
             is most of our finish; the rest is some 100 ms. distribution has the store do that, and copy the whole then."
        }
        "P11" => {
            "Where the time goes: a request and its answer over loopback alone take a third of ours (loopback answer), so that no \
             server could be fifty times faster here. distribution takes as long with a tenth of the repositories."
        }
        _ => return None,
    })
}
