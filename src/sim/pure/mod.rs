//! The engine and the model alone, on a heap of events in virtual time: thousands of worlds a minute.
//!
//! A seed is a [`Scenario`](scenario::Scenario): an archive, a stream and everything that happens to them. The
//! [`World`](world::World) is what stands between engine and service in reality (a network, a disk, a process
//! that dies), and [`Truth`](truth::Truth) knows what was really stored and holds every command of the engine
//! against what is promised. It exists in tests only.

mod life;
mod mutants;
mod network;
mod scenario;
mod tests;
mod truth;
mod world;
