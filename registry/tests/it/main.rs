//! Black-box tests: the real binary, over the network, a module a rule.

mod configuration;
mod support;
