//! The two ways to send: whichever is chosen, the same arrives.

use crate::events::{self, by_key};
use crate::reader::read_stream;
use crate::sandbox::Sandbox;

#[test]
fn both_ways_deliver_the_same_in_the_same_order() {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), 4, 200);
    let expected = by_key(&sandbox.path("archive"), "/k");
    for way in ["direct", "sdk"] {
        let (_simulator, url) = sandbox.simulate("--shards 3 --unlimited");
        let report = sandbox
            .run(&format!(
                "replay archive --into demo --partition-key /k --endpoint-url {url} --send {way} --yes --new --json"
            ))
            .json(0);
        assert_eq!(report["records"]["delivered"], 800, "{way}: {report}");
        assert_eq!(report["possible_duplicates"], 0, "{way}: {report}");
        assert!(read_stream(&url, "demo") == expected, "{way}: not what the archive holds");
    }
}
