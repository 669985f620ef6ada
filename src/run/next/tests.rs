//! What is typed next, by how a run has ended.

use super::*;

#[test]
fn a_key_that_was_mistyped_is_recognised() {
    let fields = ["/flight", "/tailnum", "/origin", "/user/id", "/Carrier"];
    let recognised = |key: &str| meant(key, fields.into_iter().map(str::to_owned));
    assert_eq!(recognised("/tailnm").as_deref(), Some("/tailnum"));
    assert_eq!(recognised("/tialnum").as_deref(), Some("/tailnum"));
    assert_eq!(meant("/kye", ["/key", "/n"].map(str::to_owned).into_iter()).as_deref(), Some("/key"));
    assert_eq!(recognised("/id").as_deref(), Some("/user/id"));
    assert_eq!(recognised("/event/origin").as_deref(), Some("/origin"));
    assert_eq!(recognised("/carrier").as_deref(), Some("/Carrier"));
    assert_eq!(recognised("/customer"), None);
    assert_eq!(meant("/k\u{1b}", ["/k\u{1b}x".to_owned()].into_iter()), None);
    assert_eq!(meant("/k", std::iter::empty()), None);
}

#[test]
fn a_distance_counts_letters() {
    for (one, other, letters) in
        [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("a", "", 1), ("tial", "tail", 1)]
    {
        assert_eq!((distance(one, other), distance(other, one)), (letters, letters), "{one} {other}");
    }
}

fn keyless(records: u64, missing: u64) -> Keyless {
    let first = QuarantineLine::of(3, Some(7), "x.gz", "missing");
    let (key, meant) = ("/tailnm".into(), Some("/tailnum".into()));
    Keyless { records, missing, first, key, meant, arrays: 0 }
}

#[test]
fn the_key_is_named_as_the_cause() {
    assert_eq!(
        keyless(12_288, 12_288).sentence(12_288),
        "no record of 12,288 has /tailnm (is /tailnum meant?)"
    );
    let some = "9,000 of 12,288 records have no key at /tailnm (is /tailnum meant?)";
    assert_eq!(keyless(9_000, 9_000).sentence(12_288), some);
    let vague = Keyless { meant: None, ..keyless(5, 4) };
    assert_eq!(vague.sentence(5), "5 of 5 records have no key at /tailnm");
    assert_eq!(vague.another(), "/POINTER");
}

fn typed() -> Typed {
    let words = ["replay", "a", "--partition-key", "/tailnm"].map(str::to_owned).to_vec();
    Typed { words, retries: false, follows_a_plan: false }
}

fn unfinished<'a>(typed: &'a Typed, flags: &'a RunFlags) -> Outcome<'a> {
    Outcome {
        id: "7",
        flags,
        online: false,
        code: ExitCode::Incomplete,
        done: false,
        delivered: 0,
        routed: 120,
        set_aside: 0,
        salvageable: 0,
        misframed: 0,
        mended: 0,
        readable: true,
        flood: None,
        keyless: None,
        typed: Some(typed),
    }
}

#[test]
fn what_comes_next_depends_on_how_it_ended() {
    let (many, few) = (keyless(100, 100), keyless(10, 10));
    let (typed, none) = (typed(), RunFlags::default());
    let outcome = unfinished(&typed, &none);
    let done = Outcome { done: true, code: ExitCode::Done, ..outcome };
    let aside = Outcome { code: ExitCode::Quarantine, set_aside: 101, ..done };
    let most = Some(Flood::Most { set_aside: 101, of: 120 });
    let flooded = Outcome { set_aside: 101, flood: most, ..outcome };
    let bound = Some(Flood::Bound { set_aside: 101, max: 100 });
    let (show, ls) = ("respool quarantine show 3:7 7", "respool quarantine ls 7");
    let (retry, resume) = ("respool quarantine retry 7", "respool resume 7");
    let vague = Keyless { meant: None, ..many.clone() };
    let salvage = "respool quarantine retry 7 --salvage";
    let arrays = Keyless { arrays: 100, ..vague.clone() };
    let cases: [(_, &[&str]); 17] = [
        (outcome, &[resume]),
        (Outcome { set_aside: 101, keyless: Some(&many), ..outcome }, &[resume]),
        (done, &[]),
        (Outcome { code: ExitCode::Differs, ..done }, &["respool verify 7"]),
        (aside, &[ls, retry]),
        (Outcome { keyless: Some(&few), ..aside }, &[ls, "respool quarantine retry 7 --key-fallback hash"]),
        (Outcome { salvageable: 2, ..aside }, &[ls, salvage]),
        (
            Outcome { keyless: Some(&few), salvageable: 2, ..aside },
            &[ls, "respool quarantine retry 7 --key-fallback hash --salvage"],
        ),
        // What is salvaged has the key that the records had which were delivered.
        (
            Outcome { keyless: Some(&many), salvageable: 1, delivered: 20, ..aside },
            &[show, "respool quarantine retry 7 --key-fallback hash --salvage"],
        ),
        (
            Outcome { keyless: Some(&many), ..aside },
            &[
                show,
                "respool replay a --partition-key /tailnum --new",
                "respool quarantine retry 7 --partition-key /tailnum",
            ],
        ),
        (
            Outcome { keyless: Some(&vague), ..aside },
            &[
                show,
                "respool replay a --partition-key /POINTER --new",
                "respool quarantine retry 7 --key-fallback hash",
            ],
        ),
        (
            Outcome { keyless: Some(&many), ..flooded },
            &[show, "respool replay a --partition-key /tailnum --new", resume],
        ),
        (
            Outcome { keyless: Some(&arrays), ..flooded },
            &[show, "respool replay a --partition-key /tailnm --framing json-array --new", resume],
        ),
        (
            Outcome { keyless: Some(&arrays), ..aside },
            &[show, "respool replay a --partition-key /tailnm --framing json-array --new"],
        ),
        (Outcome { keyless: Some(&many), delivered: 1, ..flooded }, &[show, resume]),
        (Outcome { keyless: Some(&many), typed: None, ..flooded }, &[show, resume]),
        (Outcome { flood: bound, ..flooded }, &[ls, "respool resume 7 --max-quarantine COUNT"]),
    ];
    for (outcome, expected) in cases {
        let commands: Vec<_> = steps(&outcome).into_iter().map(|step| step.command).collect();
        assert_eq!(commands, expected, "{outcome:?}");
    }
    let (look, go) = (" --state-dir s".to_owned(), " --state-dir s --allow-insecure-endpoint".to_owned());
    let flags = &RunFlags { look, go };
    for (outcome, _) in cases {
        for step in steps(&Outcome { flags, typed: None, ..outcome }) {
            let looks =
                ["show", "ls"].iter().any(|word| step.command.contains(&format!("quarantine {word} ")));
            let expected = if looks { &flags.look } else { &flags.go };
            assert!(step.command.ends_with(expected.as_str()), "{}", step.command);
        }
    }
    let offline = steps(&Outcome { online: true, salvageable: 1, ..aside });
    let commands: Vec<_> = offline.iter().map(|step| step.command.as_str()).collect();
    assert_eq!(commands, [ls, &format!("{salvage} --online")]);
    let named = steps(&Outcome { keyless: Some(&many), ..aside });
    assert_eq!(named[0].why, "100 of 120 records have no key at /tailnm (is /tailnum meant?); see one");
}

#[test]
fn what_lies_beside_arrays_has_been_sent_and_they_alone_are_read_anew() {
    let (typed, none, many) = (typed(), RunFlags::default(), keyless(100, 100));
    let (arrays, mixed) =
        (Keyless { arrays: 100, meant: None, ..many.clone() }, Keyless { arrays: 40, ..many });
    let done =
        Outcome { code: ExitCode::Quarantine, done: true, set_aside: 101, ..unfinished(&typed, &none) };
    let (show, ls) = ("respool quarantine show 3:7 7", "respool quarantine ls 7");
    let apart = "respool quarantine retry 7 --framing json-array";
    let cases: [(_, &[&str]); 3] = [
        (Outcome { keyless: Some(&arrays), set_aside: 100, delivered: 20, ..done }, &[show, apart]),
        (
            Outcome { keyless: Some(&mixed), ..done },
            &[
                show,
                "respool replay a --partition-key /tailnum --new",
                apart,
                "respool quarantine retry 7 --partition-key /tailnum",
            ],
        ),
        (
            Outcome { misframed: 5, set_aside: 5, delivered: 20, ..done },
            &[ls, "respool quarantine retry 7 --framing auto"],
        ),
    ];
    for (outcome, expected) in cases {
        let commands: Vec<_> = steps(&outcome).into_iter().map(|step| step.command).collect();
        assert_eq!(commands, expected, "{outcome:?}");
    }
}
