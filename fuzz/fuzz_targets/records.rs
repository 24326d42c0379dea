//! A records file as `render` reads it, as JSONL and as CSV: header, number of targets, all frames.
#![no_main]

use std::io::Cursor;

use gradcam_video::records::{RecordsFormat, RecordsReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for format in [RecordsFormat::Jsonl, RecordsFormat::Csv] {
        let input = Box::new(Cursor::new(bytes.to_vec()));
        let Ok(mut reader) = RecordsReader::new(input, format, "fuzzed") else {
            continue;
        };
        let _ = reader.header().resize_policy();
        let Ok(targets) = reader.targets() else {
            continue;
        };
        while let Ok(frame) = reader.next_frame() {
            if frame.is_empty() {
                break;
            }
            assert_eq!(frame.len(), targets);
            for record in &frame {
                let map = &record.heatmap;
                assert_eq!(map.values.len(), map.width * map.height);
            }
        }
    }
});
