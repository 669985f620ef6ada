//! Seeds without number, and the same seed twice.

use std::time::{Duration, Instant};

use super::scenario::Scenario;
use super::world::{Tally, World, run};

/// Seeds that every test run lives through.
const SEEDS: u64 = 2_000;

#[test]
fn one_seed_gives_one_trace() {
    for seed in 0..20 {
        let trace = || {
            let mut world = World::new(Scenario::draw(seed), true);
            let lived = world.live();
            (lived, world.trace().to_vec())
        };
        let (first, second) = (trace(), trace());
        assert!(first.1.len() > 3);
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn every_promise_holds_under_every_fault() {
    for seed in 0..SEEDS {
        run(seed).unwrap_or_else(|broken| panic!("{broken}"));
    }
}

#[test]
#[ignore = "repeats RESPOOL_SIM_SEED"]
fn one_seed() {
    let seed = number("RESPOOL_SIM_SEED", 0);
    println!("{}", Scenario::draw(seed));
    println!("{:?}", run(seed).unwrap_or_else(|broken| panic!("{broken}")));
}

/// `scripts/sim-sweep` runs this: `RESPOOL_SIM_SEEDS` seeds from `RESPOOL_SIM_SEED` on, and a table.
#[test]
#[ignore = "runs as long as one likes"]
fn sweep() {
    let (first, seeds) = (number("RESPOOL_SIM_SEED", 0), number("RESPOOL_SIM_SEEDS", 2_000));
    let (began, mut sum, mut violations) = (Instant::now(), Tally::default(), 0);
    for seed in first..first + seeds {
        match run(seed) {
            Ok(tally) => sum = add(sum, tally),
            Err(broken) => {
                violations += 1;
                eprintln!("{broken}\n");
            }
        }
    }
    let hours = sum.lasted.as_secs_f64() / 3_600.0;
    println!("seeds             {seeds} (from {first})");
    println!("records           {}", sum.records);
    println!("kills             {}", sum.kills);
    println!("orderly stops     {}", sum.stops);
    println!("unknown outcomes  {}", sum.unknown);
    println!("throttled entries {}", sum.throttled);
    println!("reshards          {}", sum.reshards);
    println!("duplicates        {}", sum.duplicates);
    println!("strays            {} ({} dropped)", sum.strays, sum.dropped);
    println!("virtual hours     {hours:.1}");
    println!("violations        {violations}");
    println!("took              {:.0} s", began.elapsed().as_secs_f64());
    assert_eq!(violations, 0);
}

fn add(left: Tally, right: Tally) -> Tally {
    Tally {
        records: left.records + right.records,
        kills: left.kills + right.kills,
        stops: left.stops + right.stops,
        unknown: left.unknown + right.unknown,
        throttled: left.throttled + right.throttled,
        reshards: left.reshards + right.reshards,
        duplicates: left.duplicates + right.duplicates,
        strays: left.strays + right.strays,
        dropped: left.dropped + right.dropped,
        lasted: left.lasted + right.lasted,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test that is told what to do by a script")]
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn the_seeds_see_everything() {
    let tally = (0..60).map(|seed| run(seed).unwrap()).fold(Tally::default(), add);
    let Tally { kills, stops, unknown, throttled, reshards, duplicates, strays, dropped, lasted, .. } = tally;
    assert!(
        [kills, stops, unknown, throttled, reshards, duplicates, strays, dropped]
            .iter()
            .all(|&count| count > 5),
        "{tally:?}"
    );
    assert!(lasted > Duration::from_mins(5));
}

#[test]
fn one_slow_shard_slows_down_nobody_else() {
    let lived = |slow| {
        let mut world = World::new(Scenario::calm(slow), false);
        let tally = world.live().unwrap_or_else(|broken| panic!("{broken}"));
        (world.fast_until(), tally.lasted)
    };
    let ((fast_alone, alone), (fast_beside, beside)) = (lived(1), lived(40));
    assert!(beside > alone + alone / 2, "the slow shard was not slow: {beside:?} and {alone:?}");
    assert!(fast_beside < fast_alone + fast_alone / 20, "{fast_beside:?}, {fast_alone:?} without it");
}
