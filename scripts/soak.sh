#!/usr/bin/env bash
# The long forms of the tests with faults, one after the other on a release build, and at the end
# the line that each tells: rounds, faults injected, bytes acknowledged and lost, uploads resumed,
# seed. Takes some hours, and wants what `make test` wants and installs. Names choose among them:
# `make soak ONLY="kill network"`. A variable that is set goes before the number here, and DDX_SEED
# repeats a run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()

wanted() {
    [ -z "${ONLY:-}" ] || [[ " $ONLY " == *" $1 "* ]]
}

# run NAME COMMAND…
run() {
    local name=$1
    shift
    wanted "$name" || return 0
    echo "── $name"
    "$@" 2>&1 | tee -a "$log" || failed+=("$name")
}

# fault NAME VARIABLE ROUNDS TEST: one end-to-end test with so many rounds.
fault() {
    local name=$1 variable=$2 rounds=$3 test=$4
    local told
    told=$(grep -c '^totals: ' "$log")
    run "$name" env "$variable=${!variable:-$rounds}" \
        cargo test --release --locked -p ddx --test e2e -- --nocapture --exact "$test"
    # A test that was renamed runs nothing and fails nowhere.
    if wanted "$name" && [ "$(grep -c '^totals: ' "$log")" -eq "$told" ]; then
        failed+=("$name: told no totals")
    fi
}

run lives env "DDX_SIM_LIVES=${DDX_SIM_LIVES:-100000}" "DDX_SIM_FROM=${DDX_SIM_FROM:-$(date +%s)000000}" \
    cargo test --release --locked -p ddx-sim --test lives -- --nocapture no_life_breaks_a_promise
fault kill DDX_KILL_ROUNDS 200 kill::exclusive_kill_9_takes_nothing_back
fault restart DDX_RESTART_ROUNDS 200 storm::exclusive_a_restart_in_the_middle_of_everything_breaks_no_promise
fault disk DDX_KILL_ROUNDS 100 bad_start::exclusive_faults_at_random_and_kills_take_nothing_back
fault network DDX_NETWORK_ROUNDS 50 matrix::one_retry_is_enough_after_every_fault_on_every_way
fault race DDX_RACE_ROUNDS 200 two_requests::requests_that_fight_for_uploads_leave_whole_ones
fault catalog DDX_CATALOG_ROUNDS 1000 bad_catalog::a_damaged_catalog_shows_no_wrong_byte_and_deletes_no_file
fault clock DDX_CLOCK_ROUNDS 20 clock::jumps_of_the_clock_expire_nothing_early_and_cut_nobody_off

echo "── totals"
grep -E '^(totals: |seeds [0-9]+ to | +[0-9]+  (lives|power cuts|kills|uploads resumed.*|.*acknowledged.*|.*lost)$)' "$log"
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
