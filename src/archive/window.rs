//! Which objects a run replays.

/// Placeholder until the window lands.
#[derive(Debug)]
pub struct ObjectWindow;
