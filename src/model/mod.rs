//! The network: its weights and how they come to be.

pub mod convert;
