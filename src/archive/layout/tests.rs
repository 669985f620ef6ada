use super::*;

const UUID: &str = "0f5e3b1c-7a44-4c0e-9d2f-2b1a6c9d8e7f";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_key_tells_its_time_as_exactly_as_it_can() {
    for (key, start, seconds) in [
        ("2026/07/01/05/orders-1-2026-07-01-05-12-34-UUID.gz", "2026-07-01T05:12:34Z", 0),
        ("legacy2026/07/01/05/orders-1-2026-07-01-05-12-34-UUID", "2026-07-01T05:12:34Z", 0),
        ("v12026/07/01/05/a-b-10-2026-07-01-05-59-59-UUID.x.log", "2026-07-01T05:59:59Z", 0),
        ("a/2026/07/01/05/region=eu/orders-1-2026-07-01-05-12-34-UUID", "2026-07-01T05:12:34Z", 0),
        // The directories win where the name disagrees or tells nothing.
        ("2026/07/01/05/orders-1-2026-07-01-06-00-01-UUID.gz", "2026-07-01T05:00:00Z", 3_600),
        ("2026/07/01/05/part-0001.gz", "2026-07-01T05:00:00Z", 3_600),
        ("2026/07/01/part-0001.gz", "2026-07-01T00:00:00Z", 86_400),
        ("2026/02/part-0001.gz", "2026-02-01T00:00:00Z", 28 * 86_400),
        ("2020/01/01/00/2026/07/01/05/x", "2020-01-01T00:00:00Z", 3_600),
        ("2026/07/01/05/2020/01/x", "2026-07-01T05:00:00Z", 3_600),
        // The name alone.
        ("orders-1-2026-07-01-05-12-34-UUID.gz", "2026-07-01T05:12:34Z", 0),
        ("year=2026/month=07/orders-1-2026-07-01-05-12-34-UUID", "2026-07-01T05:12:34Z", 0),
        ("2026/orders-3-2026-07-01-05-12-34.gz", "2026-07-01T05:12:34Z", 0),
        ("1-1-2020-01-01-00-00-00-x-2-2026-07-01-05-12-34-UUID", "2026-07-01T05:12:34Z", 0),
    ] {
        let key = key.replace("UUID", UUID);
        let expected = NamedTime { start: at(start), span: SignedDuration::from_secs(seconds) };
        assert_eq!(Layout::default().key_time(&key), Some(expected), "{key}");
    }
}

#[test]
fn a_template_and_a_zone_tell_the_time_where_the_user_says_how() {
    let layout = |rule: &str, zone: &str| Layout {
        rule: rule.parse().unwrap(),
        zone: crate::archive::selection::parse_zone(zone).unwrap(),
    };
    for (rule, zone, key, start, seconds) in [
        ("dt={yyyy-MM-dd}/hr={HH}", "UTC", "t/dt=2026-07-01/hr=05/part-1", "2026-07-01T05:00:00Z", 3_600),
        ("dt={yyyy-MM-dd}/hr={HH}", "UTC", "t/dt=2026-07-01/part-1", "2026-07-01T00:00:00Z", 86_400),
        ("%Y%m%d-%H%M%S", "UTC", "logs/app-20260701-051234.log", "2026-07-01T05:12:34Z", 0),
        ("{yyyy}/{MM}/{dd}/{HH}/{mm}", "UTC", "2026/07/01/05/12/x", "2026-07-01T05:12:00Z", 60),
        ("auto", "Asia/Tokyo", "2026/07/01/05/x-1-2026-07-01-05-12-34-u", "2026-06-30T20:12:34Z", 0),
        // The hour that comes twice, and the one that is left out.
        ("auto", "Europe/Berlin", "2026/10/25/02/x", "2026-10-25T00:00:00Z", 7_200),
        ("auto", "Europe/Berlin", "2026/10/25/02/x-1-2026-10-25-02-30-00-u", "2026-10-25T00:30:00Z", 3_600),
        ("auto", "Europe/Berlin", "2026/03/29/03/x", "2026-03-29T01:00:00Z", 3_600),
    ] {
        let expected = NamedTime { start: at(start), span: SignedDuration::from_secs(seconds) };
        assert_eq!(layout(rule, zone).key_time(key), Some(expected), "{rule} {key}");
    }
    for rule in ["modified", "all", "dt=%F"] {
        assert_eq!(layout(rule, "UTC").key_time("2026/07/01/05/x"), None, "{rule}");
    }
}

#[test]
fn a_key_without_a_time_tells_none() {
    for key in [
        "",
        "/",
        "2026/x",
        "part-0001.gz",
        "2026/13/01/05x",
        "1234/07/01/05/x",
        "orders-2026-07-01-05-12-34-u",
        "orders-1-2026-02-30-05-12-34-u",
        "orders-1-2026-07-01-25-12-34-u",
        "orders-1-2026-07-01-05-12-345",
        "a-1-2026-07-01-05-12-é",
        "é2026",
        "٢٠٢٦/07/01/05/x",
    ] {
        assert_eq!(Layout::default().key_time(key), None, "{key}");
    }
    // A day that does not exist is no day, but its month is one.
    assert_eq!(Layout::default().key_time("2026/02/30/05/x").unwrap().start, at("2026-02-01T00:00:00Z"));
}

#[test]
fn directories_are_placed_in_the_calendar() {
    use CalendarLevel::{Day, Hour, Month, Year};
    for (dir, level, start, hours) in [
        ("2026/", Year, "2026-01-01T00:00:00Z", 365 * 24),
        ("a/legacy2026/", Year, "2026-01-01T00:00:00Z", 365 * 24),
        ("2024/02/", Month, "2024-02-01T00:00:00Z", 29 * 24),
        ("x/2026/12/31/", Day, "2026-12-31T00:00:00Z", 24),
        ("x/2026/12/31/23/", Hour, "2026-12-31T23:00:00Z", 1),
    ] {
        let time = NamedTime { start: at(start), span: SignedDuration::from_hours(hours) };
        assert_eq!(Layout::default().calendar_dir(dir), Some(CalendarDir { level, time }), "{dir}");
    }
    for dir in
        ["", "/", "07/", "2026", "2026/13/", "2026/00/", "2026/02/30/", "2026/07/01/24/", "2026/1/", "9999/"]
    {
        assert_eq!(Layout::default().calendar_dir(dir), None, "{dir}");
    }
    assert_eq!(Layout::default().calendar_dir("2026/07/01/05/59/"), None);
}

#[test]
fn what_holds_no_events_is_known_by_its_name_below_the_prefix() {
    for (below, size) in [
        ("", 0),
        ("2026/", 0),
        ("a/_SUCCESS", 0),
        ("_SUCCESS", 9),
        ("2026_$folder$", 0),
        ("processing-failed/2026/07/01/05/x", 9),
        ("a/format-conversion-failed/x", 9),
        ("manifests/x", 9),
        ("live/errors/manifests/2026/x", 9),
        ("kinesis-channel/errors/x", 9),
    ] {
        assert!(holds_no_events(below, size), "{below}");
    }
    for (below, size) in [
        ("2026/", 9),
        ("a", 0),
        ("payment-failed/x", 9),
        ("manifests", 9),
        ("errors/2026/x", 9),
        ("errors-of-users/x", 9),
        ("a/../b", 9),
        (".hidden", 9),
    ] {
        assert!(!holds_no_events(below, size), "{below}");
    }
}

#[test]
fn an_encoded_key_is_decoded_once() {
    for (text, key) in [("a%2Bb%2520.gz", "a+b%20.gz"), ("a+b/%C3%A9%0A", "a b/é\n"), ("", "")] {
        assert_eq!(decode_key(text).as_deref(), Some(key));
    }
    for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
        assert_eq!(decode_key(bad), None, "{bad}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,60}", stamp in "[0-9/é-]{0,40}") {
        for text in [&text, &stamp, &format!("2026/07/01/05/{stamp}"), &format!("a-1-{stamp}/")] {
            let _ = (Layout::default().key_time(text), Layout::default().calendar_dir(text), decode_key(text), holds_no_events(text, 0));
            let _ = text.parse::<crate::archive::TimeBound>();
        }
    }
}
