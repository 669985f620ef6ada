//! Keys, candidates and chunks; the oracle for keys is `serde_json` with its own pointers.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Value;

use super::candidates::{CANDIDATES_MAX, CandidateKind, candidates};
use super::event_time::EventTime;
use super::key::{KeyConfig, KeyExtractor, KeyFallback, KeyFault, KeyRule};
use super::*;

const FIRST: Ordinal = Ordinal::START;

fn extractor(rule: &str) -> KeyExtractor {
    KeyExtractor::new(KeyConfig { rule: rule.parse().unwrap(), fallback: None, seed: 7 })
}

fn key(rule: &str, record: impl AsRef<[u8]>) -> Result<String, KeyFault> {
    extractor(rule).key(record.as_ref(), FIRST).map(|key| key.as_str().to_owned())
}

#[test]
fn a_value_is_a_key_as_it_is_written() {
    for (value, expected) in [
        (r#""ab""#, "ab"),
        (r#""\u00e9\n\/\ud83d\ude00""#, "é\n/😀"),
        ("7", "7"),
        ("-0", "-0"),
        ("1.50", "1.50"),
        ("1E+2", "1E+2"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("true", "true"),
        ("false", "false"),
    ] {
        assert_eq!(key("/k", format!(r#"{{"k":{value}}}"#)), Ok(expected.to_owned()), "{value}");
    }
}

#[test]
fn what_is_no_key_is_named() {
    let long = format!(r#""{}""#, "é".repeat(257));
    let huge = format!(r#""{}""#, "x".repeat(1 << 20));
    for (value, expected) in [
        ("null", KeyFault::Null),
        (r#""""#, KeyFault::Empty),
        ("{}", KeyFault::Container),
        ("[1]", KeyFault::Container),
        (&long, KeyFault::TooLong),
        (&huge, KeyFault::TooLong),
        (r#""\ud800""#, KeyFault::InvalidJson),
        ("nul", KeyFault::InvalidJson),
        ("01", KeyFault::InvalidJson),
        ("\"a\nb\"", KeyFault::InvalidJson),
    ] {
        assert_eq!(key("/k", format!(r#"{{"k":{value}}}"#)), Err(expected), "{value:.20}");
    }
    assert!(key("/k", format!(r#"{{"k":"{}"}}"#, "é".repeat(256))).is_ok());
}

#[test]
fn a_record_without_the_field_differs_from_one_that_is_not_json() {
    for record in ["{}", r#"{"a":1}"#, "1", r#""k""#, "[]", "null", r#"{"a":{"k":1}}"#] {
        assert_eq!(key("/k", record), Err(KeyFault::Missing), "{record}");
    }
    for record in ["", " \r\n", "hello", "{", r#"{"a""#, r#"{"a":1"#, r#"{"a":x,"k":1}"#, "\u{feff}"] {
        assert_eq!(key("/k", record), Err(KeyFault::InvalidJson), "{record}");
    }
    assert_eq!(key("/k", b"{\"a\":\"\xff\",\"k\":1}"), Err(KeyFault::InvalidJson));
}

#[test]
fn what_surrounds_a_record_does_not_matter() {
    assert_eq!(key("/k", "\u{feff} \t{\"k\" : \"v\"}\r"), Ok("v".into()));
    assert_eq!(key("/0", "\u{feff}\n[5]\r\n"), Ok("5".into()));
}

#[test]
fn the_first_of_two_fields_counts() {
    assert_eq!(key("/k", r#"{"k":1,"k":2}"#), Ok("1".into()));
    assert_eq!(key("/k/a", r#"{"k":{"b":1},"k":{"a":2}}"#), Err(KeyFault::Missing));
}

#[test]
fn damage_counts_on_the_way_to_the_key_only() {
    assert_eq!(key("/k", r#"{"a":[1,,2],"k":1}"#), Err(KeyFault::InvalidJson));
    assert_eq!(key("/k", r#"{"a":1 "k":1}"#), Err(KeyFault::InvalidJson));
    assert_eq!(key("/k", r#"{"k":1,"a":[1,,2}"#), Ok("1".into()));
    assert_eq!(key("/k", r#"{,"k":1}"#), Ok("1".into()));
}

#[test]
fn a_fallback_replaces_every_fault_and_no_key() {
    let with = |fallback| {
        KeyExtractor::new(KeyConfig { fallback: Some(fallback), ..extractor("/k").config().clone() })
    };
    for record in [r#"{"k":null}"#, "{}", "garbage"] {
        let hashed = with(KeyFallback::Hash).key(record.as_bytes(), FIRST).unwrap();
        assert_eq!(hashed.as_str(), key("hash", record).unwrap());
        let random = with(KeyFallback::Random).key(record.as_bytes(), FIRST).unwrap();
        assert_eq!(random.as_str(), key("random", record).unwrap());
    }
    assert_eq!(with(KeyFallback::Hash).key(br#"{"k":"v"}"#, FIRST).unwrap().as_str(), "v");
}

#[test]
fn spread_keys_are_32_digits_that_a_resume_finds_again() {
    assert_eq!(key("hash", ""), Ok("d41d8cd98f00b204e9800998ecf8427e".into()));
    let random = extractor("random");
    let place = Ordinal::new(3, 9);
    // A change of this value would route a resumed run differently.
    assert_eq!(random.key(b"a", place).unwrap().as_str(), "7aca72d83bcb569cab30a21cfd226008");
    assert_eq!(random.key(b"a", place), random.key(b"b", place));
    let keys: HashSet<_> = (0..1_000).map(|n| random.key(b"", Ordinal::new(n % 2, n)).unwrap()).collect();
    assert_eq!(keys.len(), 1_000);
    let other = KeyExtractor::new(KeyConfig { seed: 8, ..random.config().clone() });
    assert_ne!(other.key(b"a", place), random.key(b"a", place));
}

#[test]
fn a_rule_is_kept_as_it_was_typed() {
    for text in ["/user/id", "/a~1b/0", "/", "random", "hash"] {
        let config = extractor(text).config().clone();
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json, serde_json::json!({ "rule": text, "seed": 7 }));
        assert_eq!(serde_json::from_value::<KeyConfig>(json).unwrap(), config);
    }
    for bad in ["", "user", "/a~b", "Random", "round-robin"] {
        let sentence = bad.parse::<KeyRule>().unwrap_err().to_string();
        for form in ["/user/id", "`random`", "`hash`"] {
            assert!(sentence.contains(form), "{sentence}");
        }
    }
    assert!(serde_json::from_str::<KeyConfig>(r#"{"rule":"hash","seed":1,"extra":1}"#).is_err());
}

#[test]
fn candidates_come_in_the_records_order_with_their_types() {
    let record =
        "\u{feff}{\"z\":1,\"a/b\":{\"~\":\"x\",\"n\":null},\"e\":\"\",\"t\":true,\"l\":[1],\"z\":\"2\"}\r";
    let found: Vec<_> = candidates(record.as_bytes())
        .into_iter()
        .map(|candidate| (candidate.pointer.to_string(), candidate.kind))
        .collect();
    let expected =
        [("/z", CandidateKind::Number), ("/a~1b/~0", CandidateKind::String), ("/t", CandidateKind::Boolean)];
    assert_eq!(found, expected.map(|(pointer, kind)| (pointer.to_owned(), kind)));
    assert_eq!(candidates(b"[{\"a\":1},2]").len(), 2);
    for none in ["", "7", "x", "[", "{\"a\":"] {
        assert_eq!(candidates(none.as_bytes()), []);
    }
}

#[test]
fn candidates_are_bounded() {
    let wide: Vec<String> = (0..1_000).map(|n| format!("\"f{n}\":{n}")).collect();
    assert_eq!(candidates(format!("{{{}}}", wide.join(",")).as_bytes()).len(), CANDIDATES_MAX);
    let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    assert_eq!(candidates(deep(4).as_bytes()).len(), 1);
    assert_eq!(candidates(deep(5).as_bytes()).len(), 0);
    assert_eq!(candidates(deep(100_000).as_bytes()).len(), 0);
}

#[test]
fn a_key_is_read_again_where_it_stands_or_not_at_all() {
    let far = format!(r#"{{"x":"{}","k":"ab"}}"#, "y".repeat(70_000));
    for (record, stands) in [
        (r#"{"k":"ab"}"#, true),
        (r#"{"k":17}"#, true),
        (r#"{"k":"\u0061b"}"#, false),
        (r#"{"k":"é"}"#, true),
        (&far, false),
        ("\u{feff}{\"k\":\"ab\"}", true),
        (r#"{"k":true}"#, true),
    ] {
        let rules = RouteRules {
            extractor: extractor("/k"),
            record_bytes_max: 1 << 20,
            event_time: None,
            spread: None,
        };
        let routed = rules.route(None, Ordinal::START, record.as_bytes()).unwrap().unwrap();
        let key = extractor("/k").key(record.as_bytes(), Ordinal::START).unwrap();
        let read = routed.key_in(record.as_bytes());
        assert_eq!(read.map(PartitionKeyRef::as_str), stands.then_some(key.as_str()), "{record:.20}");
        // A record that is not the one that was routed gives no key, or some other: never a panic.
        let _ = routed.key_in(b"{");
    }
}

#[test]
fn a_chunk_puts_each_record_on_one_of_two_lists() {
    let records: [&[u8]; 4] = [br#"{"k":"a"}"#, b"{}", br#"{"k":"bb"}"#, br#"{"k":"bb" }"#];
    let first = Ordinal::new(2, 40);
    let rules =
        RouteRules { extractor: extractor("/k"), record_bytes_max: 12, event_time: None, spread: None };
    let chunk = route_chunk(&rules, None, first, records.into_iter());
    let at = |n: u32| Ordinal::new(2, 40 + n);
    assert_eq!(
        chunk.records,
        [
            Routed { ordinal: at(0), hash: HashKey::of("a"), cost: 10, key_bytes: 1, key_at: 6 },
            Routed { ordinal: at(2), hash: HashKey::of("bb"), cost: 12, key_bytes: 2, key_at: 6 },
        ]
    );
    let too_large = SetAsideReason::TooLarge { found: ByteCount(13), max: ByteCount(12) };
    assert_eq!(
        chunk.set_aside,
        [
            SetAside { ordinal: at(1), reason: SetAsideReason::KeyFault(KeyFault::Missing) },
            SetAside { ordinal: at(3), reason: too_large.clone() },
        ]
    );
    assert_eq!(chunk.end, at(4));
    assert_eq!((too_large.to_string().as_str(), KeyFault::TooLong.as_str()), ("too_large", "too_long"));
}

#[test]
fn a_spread_record_goes_where_its_ordinal_says() {
    let spread = Spread::new(7, &[]);
    let rules = RouteRules {
        extractor: extractor("/k"),
        record_bytes_max: 99,
        event_time: None,
        spread: Some(spread.clone()),
    };
    for at in [Ordinal::new(3, 5), Ordinal::new(3, 6)] {
        let routed = rules.route(None, at, br#"{"k":"hot"}"#).unwrap().unwrap();
        assert_eq!(routed.hash, spread.place(at));
    }
}

/// A JSON value of some depth, with names and strings that need escapes.
fn json() -> impl Strategy<Value = Value> {
    let name = prop_oneof!["[a-c0-2]", r#"[~/"\\é😀\n]{0,3}"#];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Every pointer into `value`.
fn pointers(value: &Value, path: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(values) => values.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        _ => Vec::new(),
    };
    for (name, child) in children {
        let path = format!("{path}/{name}");
        pointers(child, &path, found);
        found.push(path);
    }
}

fn expected(value: Option<&Value>) -> Result<String, KeyFault> {
    let text = match value {
        None => return Err(KeyFault::Missing),
        Some(Value::Null) => return Err(KeyFault::Null),
        Some(Value::Object(_) | Value::Array(_)) => return Err(KeyFault::Container),
        Some(Value::String(text)) => text.clone(),
        Some(scalar) => scalar.to_string(),
    };
    match text.chars().count() {
        0 => Err(KeyFault::Empty),
        257.. => Err(KeyFault::TooLong),
        _ => Ok(text),
    }
}

proptest! {
    #[test]
    fn keys_are_what_serde_json_finds(value in json(), pretty in any::<bool>(), stray in "(/[a-c0-2~]?){1,3}") {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        all.push(stray.replace('~', "~0"));
        for pointer in all {
            prop_assert_eq!(key(&pointer, &text), expected(value.pointer(&pointer)), "{} in {}", pointer, text);
        }
    }

    #[test]
    fn every_candidate_gives_a_key(value in json()) {
        let text = serde_json::to_string(&value).unwrap();
        for candidate in candidates(text.as_bytes()) {
            prop_assert!(key(candidate.pointer.as_str(), &text).is_ok());
        }
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
    }

    #[test]
    fn no_text_near_json_causes_a_panic(text in r#"([\[\]{}:,"\\0-9.eE+\- \n]|"k"|"0"|true|null|\\u|d8|é|\x00){0,120}"#) {
        survives(text.as_bytes());
    }

    #[test]
    fn no_damaged_json_causes_a_panic(value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = serde_json::to_vec(&value).unwrap();
        survives(&text[..at.index(text.len())]);
        let at = at.index(text.len());
        text[at] = byte;
        survives(&text);
    }
}

fn survives(record: &[u8]) {
    for rule in ["/k", "/0/0/k", "/a/0/b", "random", "hash"] {
        let _ = extractor(rule).key(record, FIRST);
    }
    for candidate in candidates(record) {
        assert!(!candidate.pointer.as_str().is_empty());
    }
}

#[test]
fn what_the_user_leaves_out_is_counted_and_nothing_else() {
    let event_time = EventTime {
        pointer: "/ts".parse().unwrap(),
        format: "s".parse().unwrap(),
        from: Some("1970-01-01T00:00:10Z".parse().unwrap()),
        until: Some("1970-01-01T00:00:20Z".parse().unwrap()),
    };
    let rules = RouteRules {
        extractor: extractor("/k"),
        record_bytes_max: 100,
        event_time: Some(event_time),
        spread: None,
    };
    let records: [&[u8]; 5] = [
        br#"{"k":"a","ts":9}"#,
        br#"{"k":"a","ts":10}"#,
        br#"{"k":"a"}"#,
        br#"{"ts":15}"#,
        br#"{"k":"a","ts":20}"#,
    ];
    let first = Ordinal::new(0, 0);
    let chunk = route_chunk(&rules, None, first, records.into_iter());
    let sent: Vec<u32> = chunk.records.iter().map(|routed| routed.ordinal.record()).collect();
    let aside: Vec<_> =
        chunk.set_aside.iter().map(|aside| (aside.ordinal.record(), aside.reason.as_str())).collect();
    assert_eq!((sent, chunk.filtered), (vec![1], 2));
    assert_eq!(aside, [(2, "no_event_time"), (3, "missing")]);
    let chunk = route_chunk(&rules, Some(&[(0, 1), (9, u32::MAX)]), first, records.into_iter());
    assert_eq!((chunk.records.len(), chunk.set_aside.len(), chunk.filtered), (1, 0, 4));
}
