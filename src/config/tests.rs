//! What `config` must hold.

use proptest::prelude::*;

use super::*;
use crate::archive::ObjectWindow;

#[test]
fn shares_are_above_zero_and_at_most_one() {
    assert_eq!("0.98".parse(), Ok(Share::DEFAULT));
    assert_eq!("1".parse(), Share::new(1.0));
    for bad in
        ["0", "0.0", "-0.5", "1.01", "NaN", "nan", "inf", "1e-3", "", ".", "0.5x", "98%", "+0.5", ".5", "1."]
    {
        assert_eq!(bad.parse::<Share>(), Err(AmountError::Share), "{bad}");
    }
    assert!(Share::new(f64::NAN).is_err() && Share::new(-0.0).is_err());
    assert!(serde_json::from_str::<Share>("1.5").is_err(), "a settings file is checked as well");
}

#[test]
fn sizes_are_exact() {
    for (text, bytes) in [
        ("50GB", 50_000_000_000),
        ("20GiB", 20 << 30),
        ("0.1GB", 100_000_000),
        ("1.5 kib", 1_536),
        ("4096B", 4_096),
        ("9223372036854775807B", i64::MAX.unsigned_abs()),
    ] {
        assert_eq!(parse_size(text), Ok(ByteCount(bytes)), "{text}");
    }
    let too_large = ["9223372036854775808B", "8388608TiB", "99999999999999999999999999999999999999999999TB"];
    for text in too_large {
        assert_eq!(parse_size(text), Err(AmountError::SizeTooLarge), "{text}");
    }
    assert_eq!(parse_size("0GB"), Err(AmountError::SizeZero));
    for text in ["", "GB", "50", "50G", "-1GB", "1..5GB", "1.5.5GB", "50XB", "1e3GB", "NaNGB", "٣GB"] {
        assert_eq!(parse_size(text), Err(AmountError::Size), "{text}");
    }
}

#[test]
fn rates_bound_bytes_or_records_or_both() {
    let both = RateCap { records_per_second: Some(5_000), bytes_per_second: Some(20_000_000) };
    assert_eq!("20MB/s,5000rec/s".parse(), Ok(both));
    assert_eq!("5000rec/s, 20MB/s".parse(), Ok(both));
    assert_eq!(both.to_string().parse(), Ok(both));
    assert_eq!("20MB/s".parse(), Ok(RateCap { records_per_second: None, ..both }));
    for (text, error) in [
        ("0rec/s", AmountError::RateZero),
        ("0.5rec/s", AmountError::RateZero),
        ("0MB/s", AmountError::RateZero),
        ("1MB/s,2MB/s", AmountError::RateTwice),
        ("20MB", AmountError::Rate),
        ("20", AmountError::Rate),
        ("-5rec/s", AmountError::Rate),
        ("NaNrec/s", AmountError::Rate),
        ("", AmountError::Rate),
        ("5000rec/s,", AmountError::Rate),
        ("9223372036854775808rec/s", AmountError::RateTooLarge),
        ("9223372036854775808B/s", AmountError::SizeTooLarge),
    ] {
        assert_eq!(text.parse::<RateCap>(), Err(error), "{text}");
    }
}

#[test]
fn durations_are_whole_and_bounded() {
    assert_eq!(parse_duration("15m"), Ok(Duration::from_mins(15)));
    assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
    assert_eq!(parse_duration("2d"), Ok(Duration::from_hours(48)));
    for bad in ["", "15", "m", "-1h", "1.5h", "1h30m", "1y"] {
        assert_eq!(parse_duration(bad), Err(AmountError::Duration), "{bad}");
    }
    assert_eq!(parse_duration("9223372036854775808s"), Err(AmountError::DurationTooLong));
}

#[test]
fn latencies_are_milliseconds_up_to_a_minute() {
    assert_eq!(parse_latency("20ms"), Ok(Duration::from_millis(20)));
    assert_eq!(parse_latency("0ms"), Ok(Duration::ZERO));
    assert_eq!(parse_latency("60s"), Ok(Duration::from_mins(1)));
    for bad in ["", "20", "ms", "0.5ms", "-1ms", "61s", "20 ms", "1m"] {
        assert_eq!(parse_latency(bad), Err(AmountError::Latency), "{bad}");
    }
}

#[test]
fn archives_are_buckets_or_directories() {
    let s3 = |bucket: &str, prefix: &str| ArchiveAddress::S3 { bucket: bucket.into(), prefix: prefix.into() };
    assert_eq!("s3://events".parse(), Ok(s3("events", "")));
    assert_eq!("s3://events/live/orders".parse(), Ok(s3("events", "live/orders")));
    assert_eq!("s3://events//odd".parse(), Ok(s3("events", "/odd")));
    assert_eq!("./a:b".parse(), Ok(ArchiveAddress::Directory { path: "./a:b".into() }));
    for bad in
        ["", "s3://", "s3:///x", "s3://a b/x", "s3:events", "gs://events/x", "https://events/x", "file:///x"]
    {
        assert!(bad.parse::<ArchiveAddress>().is_err(), "{bad}");
    }
    let error = "s3://\u{1b}[2J/x".parse::<ArchiveAddress>().unwrap_err().to_string();
    assert!(error.contains("\\u{1b}") && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn targets_with_a_colon_are_never_streams() {
    assert_eq!("sim:4".parse(), Ok(Target::Sim { shards: 4 }));
    assert_eq!("null:".parse(), Ok(Target::Null));
    let stream = "orders-backfill".parse().unwrap();
    assert_eq!("orders-backfill".parse(), Ok(Target::Kinesis { stream }));
    // A stream may be called sim or null: only the colon makes the difference.
    assert!(matches!("sim".parse(), Ok(Target::Kinesis { .. })));
    for (text, error) in [
        ("sim:", PlaceError::SimShards),
        ("sim:0", PlaceError::SimShards),
        ("sim:+4", PlaceError::SimShards),
        ("sim:-1", PlaceError::SimShards),
        ("sim:9223372036854775808", PlaceError::SimShards),
        ("null:x", PlaceError::TargetForm),
        ("file:out", PlaceError::TargetForm),
        ("kinesis:orders", PlaceError::TargetForm),
    ] {
        assert_eq!(text.parse::<Target>(), Err(error), "{text}");
    }
}

#[test]
fn streams_have_names_and_arns() {
    let arn = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders";
    let Ok(Target::Kinesis { stream }) = arn.parse() else { panic!("{arn} is one") };
    assert_eq!((stream.name(), stream.region()), ("orders", Some("cn-north-1")));
    assert_eq!(Target::Kinesis { stream }.to_string(), arn);
    for bad in ["", "orders/backfill", "arn:", "arn:aws:s3:::bucket"] {
        assert!(matches!(bad.parse::<Target>(), Err(PlaceError::Stream(_))), "{bad}");
    }
}

#[test]
fn http_is_exposed_unless_it_stays_on_this_machine() {
    for (url, exposed, loopback) in [
        ("http://127.0.0.1:4567", false, true),
        ("http://localhost:4567/", false, true),
        ("http://[::1]:4567", false, true),
        ("http://127.0.0.1.evil.example", true, false),
        ("http://10.0.0.1", true, false),
        ("https://minio.example:9000", false, false),
    ] {
        let endpoint: Endpoint = url.parse().unwrap();
        assert_eq!((endpoint.is_exposed(), endpoint.is_loopback()), (exposed, loopback), "{url}");
    }
    let bad = [
        "",
        "localhost:4567",
        "ftp://localhost",
        "http://",
        "http://a b",
        "http://host:99999",
        "http://host:+1",
        "http://user:secret@host",
        "http://host/path",
        "http://host?x",
        "http://[::1",
        "http://[::1]x",
        "http://:80",
    ];
    for url in bad {
        assert_eq!(url.parse::<Endpoint>(), Err(PlaceError::Endpoint), "{url}");
    }
}

#[test]
fn settings_survive_their_file() {
    let settings = RunSettings {
        archive: "s3://events/live".parse().unwrap(),
        target: "sim:4".parse().unwrap(),
        input: Input {
            selection: ObjectWindow::new(
                Some(jiff::Timestamp::UNIX_EPOCH),
                None,
                jiff::SignedDuration::from_hours(1),
            )
            .unwrap()
            .into(),
            ..Input::default()
        },
        limit: Some(5),
        partition_key: Some("/tailnum".parse().unwrap()),
        key_fallback: Some(KeyFallback::Hash),
        order: Order::Key,
        aggregate: true,
        seed: u64::MAX,
    };
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<RunSettings>(&text).unwrap(), settings);
    assert!(serde_json::from_str::<RunSettings>(&text.replace("\"seed\"", "\"sed\"")).is_err());

    let mut tuning = Tuning::new("cache".into());
    tuning.kinesis.endpoint_url = Some("http://127.0.0.1:1".parse().unwrap());
    let text = serde_json::to_string(&tuning).unwrap();
    assert_eq!(serde_json::from_str::<Tuning>(&text).unwrap(), tuning);
}

#[test]
fn a_resume_changes_only_what_is_given() {
    let mut base = Tuning::new("cache".into());
    base.kinesis.profile = Some("live".into());
    base.share = Share::new(0.5).unwrap();
    let region = AwsAccess { region: Some("eu-west-1".into()), ..AwsAccess::default() };
    let changed = TuningChanges { kinesis: region, ..TuningChanges::default() }.apply(base.clone());
    assert_eq!(changed.kinesis.region.as_deref(), Some("eu-west-1"));
    assert_eq!((changed.kinesis.profile.as_deref(), changed.share), (Some("live"), base.share));
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,40}|[-+.0-9a-zA-Z:/,\\[\\]@]{0,60}|[0-9.]{0,50}(GB|rec/s|MB/s|m|d)") {
        let _ = text.parse::<Share>();
        let _ = text.parse::<RateCap>();
        let _ = text.parse::<Target>();
        let _ = text.parse::<ArchiveAddress>();
        let _ = text.parse::<Endpoint>();
        let _ = text.parse::<Order>();
        let _ = parse_size(&text);
        let _ = parse_duration(&text);
    }

    #[test]
    fn what_is_printed_is_read_back(bytes in 1_u64..1 << 62, records in 1_u64..1_000_000_000, share in 0.001..1.0_f64) {
        let cap = RateCap { records_per_second: Some(records), bytes_per_second: Some(bytes) };
        prop_assert_eq!(cap.to_string().parse(), Ok(cap));
        let share = Share::new(share).unwrap();
        prop_assert_eq!(share.to_string().parse(), Ok(share));
    }
}
