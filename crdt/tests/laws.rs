//! Every type, alone and nested in maps to depth three, over random legal histories: the lattice laws, agreement with
//! the oracle on every causally closed set of events, equal states for equal sets, encodings, pieces, differences.
//!
//! `PROPTEST_CASES=100000 cargo test --release -p cahoots-crdt --test laws` is the long run.

mod exchange;
mod history;

use history::record::Records;
use history::subjects::*;
use history::{Step, Subject, World, steps};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

macro_rules! laws {
    ($($name:ident: $subject:ty;)*) => {$(
        #[test]
        fn $name() {
            keeps_the_laws::<$subject>(concat!(module_path!(), "::", stringify!($name)));
        }
    )*};
}

fn keeps_the_laws<S: Subject>(test: &'static str) {
    run(test, &steps::<S>(), &|steps| {
        let mut world = World::<S>::new();
        world.run(steps);
        world.oracle_asked
    });
}

/// What the macro of `proptest` does, for all subjects: `world` lives a history, and says how often the oracle was asked.
fn run(test: &'static str, steps: &BoxedStrategy<Vec<Step>>, world: &dyn Fn(&[Step]) -> usize) {
    let config = ProptestConfig { source_file: Some(file!()), test_name: Some(test), ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(steps, |steps| {
        prop_assert!(world(&steps) > 0);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}\n{runner}");
    }
}

laws! {
    a_growing_counter_keeps_the_laws: GCounters;
    a_counter_keeps_the_laws: PnCounters;
    a_bounded_counter_keeps_the_laws_and_its_bound: BoundedCounters;
    a_growing_set_keeps_the_laws: GSets;
    an_add_wins_set_keeps_the_laws: AwSets;
    a_remove_wins_set_keeps_the_laws: RwSets;
    a_last_writer_wins_register_keeps_the_laws: LwwRegisters;
    a_multi_value_register_keeps_the_laws: MvRegisters;
    a_max_register_keeps_the_laws: MaxRegisters;
    a_min_register_keeps_the_laws: MinRegisters;
    an_enable_wins_flag_keeps_the_laws: EwFlags;
    a_disable_wins_flag_keeps_the_laws: DwFlags;
    a_vote_keeps_the_laws: Votes;
    a_list_keeps_the_laws: Lists;
    a_score_map_keeps_the_laws: ScoreMaps;
    a_log_keeps_the_laws: Logs;

    a_map_of_growing_counters_keeps_the_laws: Maps<GCounters>;
    a_map_of_counters_keeps_the_laws: Maps<PnCounters>;
    a_map_of_bounded_counters_keeps_the_laws_and_the_bounds: EscrowMaps<BoundedCounters>;
    a_map_of_growing_sets_keeps_the_laws: Maps<GSets>;
    a_map_of_add_wins_sets_keeps_the_laws: Maps<AwSets>;
    a_map_of_remove_wins_sets_keeps_the_laws: Maps<RwSets>;
    a_map_of_last_writer_wins_registers_keeps_the_laws: Maps<LwwRegisters>;
    a_map_of_multi_value_registers_keeps_the_laws: Maps<MvRegisters>;
    a_map_of_max_registers_keeps_the_laws: Maps<MaxRegisters>;
    a_map_of_min_registers_keeps_the_laws: Maps<MinRegisters>;
    a_map_of_enable_wins_flags_keeps_the_laws: Maps<EwFlags>;
    a_map_of_disable_wins_flags_keeps_the_laws: Maps<DwFlags>;
    a_map_of_votes_keeps_the_laws: Maps<Votes>;
    a_map_of_lists_keeps_the_laws: Maps<Lists>;
    a_map_of_score_maps_keeps_the_laws: Maps<ScoreMaps>;
    a_map_of_logs_keeps_the_laws: Maps<Logs>;
    a_record_of_the_users_own_keeps_the_laws: Records;
    a_map_of_records_of_the_users_own_keeps_the_laws: Maps<Records>;

    a_map_of_maps_of_growing_counters_keeps_the_laws: Maps<Maps<GCounters>>;
    a_map_of_maps_of_counters_keeps_the_laws: Maps<Maps<PnCounters>>;
    a_map_of_maps_of_bounded_counters_keeps_the_laws_and_the_bounds: EscrowMaps<EscrowMaps<BoundedCounters>>;
    a_map_of_maps_of_growing_sets_keeps_the_laws: Maps<Maps<GSets>>;
    a_map_of_maps_of_add_wins_sets_keeps_the_laws: Maps<Maps<AwSets>>;
    a_map_of_maps_of_remove_wins_sets_keeps_the_laws: Maps<Maps<RwSets>>;
    a_map_of_maps_of_last_writer_wins_registers_keeps_the_laws: Maps<Maps<LwwRegisters>>;
    a_map_of_maps_of_multi_value_registers_keeps_the_laws: Maps<Maps<MvRegisters>>;
    a_map_of_maps_of_max_registers_keeps_the_laws: Maps<Maps<MaxRegisters>>;
    a_map_of_maps_of_min_registers_keeps_the_laws: Maps<Maps<MinRegisters>>;
    a_map_of_maps_of_enable_wins_flags_keeps_the_laws: Maps<Maps<EwFlags>>;
    a_map_of_maps_of_disable_wins_flags_keeps_the_laws: Maps<Maps<DwFlags>>;
    a_map_of_maps_of_votes_keeps_the_laws: Maps<Maps<Votes>>;
}
