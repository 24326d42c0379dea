pub struct StillSink;
