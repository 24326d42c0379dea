pub struct StillSource;
