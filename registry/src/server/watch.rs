//! Decides when a connection hangs. [`super::stream`] reports the bytes that move, [`super::connection`] the requests,
//! [`super::body`] the answers; [`Watch::expired`] sleeps until one of the limits is broken and says which.
//!
//! hyper knows timeouts for headers only. What else a client can do to hold a connection for ever is here: say nothing,
//! leave an answer unread, or take it a byte a minute.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Limits;

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Nothing came after connecting.
    Silent,
    /// The headers of a request were not complete in time.
    Head,
    /// There was no request for too long.
    Idle,
    /// The client does not take its answer, or too slowly.
    Unread,
}

impl Expired {
    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Unread => "unread",
        }
    }
}

/// What is known of one connection.
#[derive(Debug)]
pub struct Watch {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// HTTP/1.1: bytes without a request are the beginning of one. HTTP/2 has frames of many kinds.
    http1: bool,
    /// Requests begun so far.
    begun: u64,
    /// Requests that are being served.
    running: usize,
    /// Since when there has been no request.
    quiet_since: Instant,
    /// Since when the head of a request has been coming in.
    head_since: Option<Instant>,
    /// Since when the socket has taken no byte of those we want to send.
    blocked_since: Option<Instant>,
    /// HTTP/1.1: the head of the next request was looked at and found good.
    head_good: bool,
    /// HTTP/1.1: the body of some request was not read to its end, so nobody knows what the next bytes are.
    astray: bool,
    /// Until when the client must have asked for more of each answer.
    unread: HashMap<u64, Instant>,
}

impl Watch {
    pub fn new(limits: Limits, now: Instant) -> Self {
        let state = State {
            http1: true,
            begun: 0,
            running: 0,
            quiet_since: now,
            head_since: None,
            blocked_since: None,
            head_good: false,
            astray: false,
            unread: HashMap::new(),
        };
        Self { limits, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection speaks HTTP/2.
    pub fn is_http2(&self) {
        self.state().http1 = false;
    }

    pub fn received(&self, now: Instant) {
        let mut state = self.state();
        if state.http1 && state.running == 0 {
            state.head_since.get_or_insert(now);
        }
    }

    pub fn sent(&self) {
        self.state().blocked_since = None;
    }

    pub fn blocked(&self, now: Instant) {
        self.state().blocked_since.get_or_insert(now);
    }

    /// The headers of a request are complete. Gives the number of the request, and whether its head was found good.
    pub fn request_began(&self) -> (u64, bool) {
        let mut state = self.state();
        state.running += 1;
        state.begun += 1;
        state.head_since = None;
        (state.begun, std::mem::take(&mut state.head_good))
    }

    /// HTTP/1.1: the head of a request is whole and good.
    pub fn head_was_good(&self) {
        self.state().head_good = true;
    }

    /// HTTP/1.1: the next bytes are the head of a request and of nothing else.
    pub fn expects_head(&self) -> bool {
        let state = self.state();
        state.http1 && state.running == 0 && !state.astray && !state.head_good
    }

    /// HTTP/1.1: whether the connection can serve no other request, since nobody knows where the next one begins.
    pub fn is_astray(&self) -> bool {
        let state = self.state();
        state.http1 && state.astray
    }

    /// A handler gave up the body of a request before its end.
    pub fn body_was_left(&self) {
        self.state().astray = true;
    }

    /// The client asked for more of the answer to this request.
    pub fn asked(&self, request: u64) {
        self.state().unread.remove(&request);
    }

    /// This many bytes of the answer are on their way to the client.
    pub fn gave(&self, request: u64, bytes: u64, now: Instant) {
        let until = now + self.limits.idle + self.limits.time_for(bytes);
        self.state().unread.insert(request, until);
    }

    /// The answer was handed over whole, or given up. Its last `bytes` may still be on their way.
    pub fn request_ended(&self, request: u64, bytes: u64, now: Instant) {
        let mut state = self.state();
        state.unread.remove(&request);
        state.running = state.running.saturating_sub(1);
        if state.running == 0 {
            state.quiet_since = now + self.limits.time_for(bytes);
        }
    }

    /// The first limit that will be broken if nothing happens, and when.
    fn next(&self) -> Option<(Instant, Expired)> {
        let state = self.state();
        let Limits { head, idle, .. } = self.limits;
        let quiet = (state.running == 0).then(|| match state.head_since {
            Some(since) => (since + head, Expired::Head),
            None if state.begun == 0 => (state.quiet_since + head, Expired::Silent),
            None => (state.quiet_since + idle, Expired::Idle),
        });
        let blocked = state.blocked_since.map(|since| (since + idle, Expired::Unread));
        let unread = state.unread.values().min().map(|until| (*until, Expired::Unread));
        [quiet, blocked, unread].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Waits until a limit is broken.
    pub async fn expired(&self) -> Expired {
        // A limit may come nearer while we sleep (a head begins), so we look again at least this often.
        let look =
            (self.limits.head.min(self.limits.idle) / 8).clamp(Duration::from_millis(20), Duration::from_secs(2));
        loop {
            let now = Instant::now();
            let next = self.next();
            match next {
                Some((at, why)) if at <= now => return why,
                _ => {}
            }
            let sleep = next.map_or(look, |(at, _)| at - now).min(look);
            tokio::time::sleep(sleep.max(Duration::from_millis(5))).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(1);

    fn watch(now: Instant) -> Watch {
        Watch::new(Limits { connections: 1, head: HEAD, idle: IDLE, min_rate: 1000 }, now)
    }

    #[test]
    fn a_connection_that_says_nothing_is_silent() {
        let now = Instant::now();
        assert_eq!(watch(now).next().unwrap(), (now + HEAD, Expired::Silent));
    }

    #[test]
    fn a_head_that_dribbles_counts_from_its_first_byte() {
        let start = Instant::now();
        let watch = watch(start);
        watch.received(start + Duration::from_secs(5));
        watch.received(start + Duration::from_secs(9));
        assert_eq!(watch.next().unwrap(), (start + Duration::from_secs(15), Expired::Head));
    }

    #[test]
    fn a_running_request_may_take_its_time_and_then_the_connection_may_be_idle() {
        let start = Instant::now();
        let watch = watch(start);
        watch.received(start);
        let (request, _) = watch.request_began();
        assert_eq!(watch.next(), None);
        watch.received(start);
        assert_eq!(watch.next(), None, "bytes of a body are no head");
        watch.request_ended(request, 0, start + IDLE);
        assert_eq!(watch.next().unwrap(), (start + IDLE * 2, Expired::Idle));
    }

    #[test]
    fn an_answer_must_be_taken_at_the_least_rate() {
        let start = Instant::now();
        let watch = watch(start);
        let (request, _) = watch.request_began();
        watch.gave(request, 5000, start);
        assert_eq!(watch.next().unwrap(), (start + IDLE + Duration::from_secs(5), Expired::Unread));
        watch.asked(request);
        assert_eq!(watch.next(), None, "what the store takes long for is not the client's fault");
        watch.gave(request, 2000, start);
        watch.request_ended(request, 2000, start);
        assert_eq!(watch.next().unwrap(), (start + IDLE + Duration::from_secs(2), Expired::Idle));
    }

    #[test]
    fn a_socket_that_takes_nothing_is_cut_whatever_else_goes_on() {
        let start = Instant::now();
        let watch = watch(start);
        watch.request_began();
        watch.blocked(start);
        watch.blocked(start + Duration::from_secs(30));
        assert_eq!(watch.next().unwrap(), (start + IDLE, Expired::Unread));
        watch.sent();
        assert_eq!(watch.next(), None);
    }

    #[test]
    fn frames_of_http2_are_no_head_and_do_not_keep_an_idle_connection() {
        let start = Instant::now();
        let watch = watch(start);
        watch.is_http2();
        let (request, _) = watch.request_began();
        watch.request_ended(request, 0, start);
        watch.received(start + Duration::from_secs(50));
        assert_eq!(watch.next().unwrap(), (start + IDLE, Expired::Idle));
    }

    #[test]
    fn one_stalled_stream_ends_the_connection_although_others_move() {
        let start = Instant::now();
        let watch = watch(start);
        let ((stalled, _), (moving, _)) = (watch.request_began(), watch.request_began());
        watch.gave(stalled, 0, start);
        watch.gave(moving, 0, start + IDLE);
        assert_eq!(watch.next().unwrap(), (start + IDLE, Expired::Unread));
    }
}
