//! Access: who a caller is, and what they may do. Pure; `http` asks before it dispatches.

pub mod decide;
