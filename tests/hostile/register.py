"""What proves what: every row of the threat model (T) and of the catalogue of faults (A to G), the tests that hold it, and what they do
not hold, with the reason. The one place for this; ``docs/threats.md`` is made from it (``scripts/docs``), and `test_register` checks it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

CASES = "hostile/test_catalogue.py::test_a_hostile_file_is_refused_with_its_place_and_a_way_out"
"""Runs the cases of `bad_specs`, `bad_models` and `bad_data`; a row that names it must have one there."""


@dataclass(frozen=True)
class Row:
    """One row."""

    id: str
    what: str
    """The fault, or the threat."""
    tests: Sequence[str]
    """``file::function`` below tests/, or a script below the project for what is too long for every change."""
    open: str = ""
    """What the tests do not show, and why."""
    rows: Sequence[str] = ()
    """Of a threat: the rows of the catalogue that hold it."""


_CONTAINED = "hostile/test_contained.py::"
_STORE_FAULTS = "hostile/test_store_faults.py::"
_RUN_FAULTS = "hostile/test_run_faults.py::"
_TOGETHER = "hostile/test_runs_together.py::"
_RUNNING = "hostile/test_running.py::"
_LIMITS = "execute/test_limits.py::"
_SANDBOX = "execute/test_sandbox.py::"
_SIGNALS = "execute/test_interrupts.py::"
_DAMAGED = "verifying/test_damaged_runs.py::"
_MANIFESTS = "verifying/test_true_manifests.py::"
_KILLS = "benchmarks/execution/kills.py"
_SYSCALLS = "benchmarks/execution/syscall_faults.py"
_CRASH_STATES = ("evidence/test_crash_states.py::test_no_crash_loses_what_was_acknowledged_nor_leaves_damage",
                 "evidence/test_crash_states.py::test_a_weaker_protocol_is_caught")  # fmt: skip

SPECS = (
    Row("A1", "merge keys that expand without end", (CASES,)),
    Row("A2", "aliases that expand without end, or refer to themselves", (CASES,)),
    Row("A3", "nesting without end", (CASES,)),
    Row("A4", "a spec of more than 1 MiB, a list of 300,000 items", (CASES,)),
    Row("A5", "the same key twice", (CASES,)),
    Row("A6", "`NO`, `on`, `1:30`, numbers that no float holds", (CASES, "spec/test_source.py::test_texts_that_readers_differ_about_are_refused")),
    Row("A7", "tags that name code or types", (CASES,)),
    Row("A8", "bytes that are no UTF-8, characters that hide or turn text", (CASES,)),
    Row("A9", "two documents, none, or no mapping", (CASES,)),
    Row("A10", "unknown, misspelt and missing keys", (CASES, "cli/test_cli.py::test_check_says_everything_that_is_wrong_at_once")),
    Row("A11", "references to nothing, and in circles", (CASES,)),
    Row("A12", "a million steps, 10^12 samples", (CASES, "cli/test_cli.py::test_a_plan_beyond_its_budget_is_refused_with_the_dearest_steps")),
    Row("A13", "paths that climb out, addresses", (CASES, "cli/test_bad_input.py::test_paths_may_not_leave_the_folder")),
    Row("A14", "a pipe, a device, a folder, an unreadable file as spec", (CASES, "cli/test_bad_input.py::test_ten_megabytes_a_folder_a_pipe_and_nothing_at_all")),
    Row("A15", "a spec that names code", (CASES, _RUNNING + "test_a_trusted_custom_object_comes_from_the_module_that_was_trusted")),
    Row("A16", "a spec that is changed while it runs", (_RUNNING + "test_a_spec_that_is_changed_while_it_runs_is_not_read_again",)),
    Row("A17", "a million mutated specs", ("hostile/test_mutants.py::test_mutated_specs_get_a_diagnostic", "benchmarks/fuzz_specs.py"),
        "60 at every change; the million is the script's"),
)  # fmt: skip

MODELS = (
    Row("B1", "a Lambda layer in a Keras file", (CASES,)),
    Row("B2", "layers that load files or code", (CASES,)),
    Row("B3", "HDF5 links to other files", (CASES,)),
    Row("B4", "shapes and archives that expand without end", (CASES, "hostile/test_catalogue.py::test_the_whole_corpus_fits_into_300_megabytes")),
    Row("B5", "archive members that climb out, twice, encrypted, links", (CASES,)),
    Row("B6", "pickles, web pages, pointers and torn files that are called models", (CASES, "cli/test_bad_input.py::test_a_truncated_model_is_found")),
    Row("B7", "file operations in a SavedModel", (CASES,)),
    Row("B8", "the same, with trust granted: the sandbox keeps it from files", (
        _CONTAINED + "test_trust_lets_a_model_run_and_the_sandbox_keeps_it_from_files", _RUNNING + "test_a_trusted_operation_is_let_through_and_said",
        _SANDBOX + "test_files_outside_are_not_read", _SANDBOX + "test_nothing_is_written_outside_the_box",
        _SANDBOX + "test_without_a_sandbox_the_same_work_reads_the_canary")),
    Row("B9", "loops that never end", (_CONTAINED + "test_a_model_that_never_ends_is_ended_at_its_time", _LIMITS + "test_an_endless_loop_in_tensorflow_is_ended")),
    Row("B10", "Ctrl-C, SIGTERM and SIGKILL meanwhile", (_CONTAINED + "test_an_endless_model_does_not_keep_a_run_from_ending",)),
    Row("B11", "SIGFPE, SIGSEGV and abort in native code", (
        _CONTAINED + "test_a_model_that_divides_by_what_has_no_answer_dies_alone", _LIMITS + "test_a_crash_is_named",
        _LIMITS + "test_native_crashes_and_silent_ends_are_named"),
        "SIGSEGV and abort are provoked by code of ours in a worker: no model file is known that crashes the pinned versions so"),
    Row("B12", "weights outside of an ONNX file: links, other folders, pipes", (CASES,)),
    Row("B13", "such weights replaced after the check", (_RUNNING + "test_external_data_that_is_replaced_after_the_check_is_refused",)),
    Row("B14", "functions that expand without end", (CASES,)),
    Row("B15", "tensors of 10^13 numbers", (CASES, _CONTAINED + "test_a_tensor_that_no_machine_holds_ends_at_the_memory_of_its_worker")),
    Row("B16", "operators of unknown makers and versions", (CASES,)),
    Row("B17", "answers that are none: NaN, infinite, of other rows", (
        _RUNNING + "test_answers_that_are_none_are_said_and_never_a_silent_number", _CONTAINED + "test_answers_of_other_rows_are_never_a_silent_number")),
    Row("B18", "a model that draws at random", (_RUNNING + "test_a_model_that_answers_differently_each_time_is_said_to",)),
    Row("B19", "mutated model files", (
        "hostile/test_mutants.py::test_mutated_files_end_in_a_named_result", _CONTAINED + "test_mutated_models_end_in_a_named_result_in_their_worker",
        "benchmarks/fuzz_files.py"), "hundreds of each format at every change; 20,000 are the script's"),
    Row("B20", "weights of another architecture, or missing", (CASES,)),
)  # fmt: skip

DATA = (
    Row("C1", "ragged, doubled, empty and wrongly encoded tables", (CASES,)),
    Row("C2", "words where numbers are meant, numbers that lose digits", (CASES,)),
    Row("C3", "missing, constant and one-sided columns", (CASES,)),
    Row(
        "C4",
        "arrays of objects, of impossible and of torn shapes",
        (CASES, "cli/test_bad_input.py::test_an_archive_of_objects_is_refused"),
    ),
    Row("C5", "archives of arrays that expand without end", (CASES,)),
    Row("C6", "pictures that expand, are torn or are something else", (CASES,)),
    Row("C7", "200,000 columns", (CASES,)),
    Row("C8", "labels of another number", (CASES,)),
    Row("C9", "data replaced after the check", (_RUNNING + "test_data_that_are_replaced_after_the_check_are_refused",)),
)

FAULTS = (
    Row("D1", "SIGKILL of a run at any time", (_RUN_FAULTS + "test_sigkill_anywhere_loses_nothing_that_was_acknowledged", _KILLS)),
    Row("D2", "SIGKILL at every call to the file system", (_STORE_FAULTS + "test_every_call_may_be_the_last", _RUN_FAULTS + "test_sigkill_anywhere_loses_nothing_that_was_acknowledged")),
    Row("D3", "SIGKILL of a worker", (
        _CONTAINED + "test_a_worker_that_is_killed_from_outside_costs_nothing_and_another_takes_over",
        _LIMITS + "test_a_worker_killed_from_outside_costs_no_result", _LIMITS + "test_a_job_that_is_killed_twice_has_failed", _KILLS)),
    Row("D4", "the run dies, its workers are busy", (_CONTAINED + "test_an_endless_model_does_not_keep_a_run_from_ending", _SIGNALS + "test_a_kill_leaves_no_process_within_a_second")),
    Row("D5", "a full disk at any write", (
        _STORE_FAULTS + "test_every_call_fails_and_nothing_acknowledged_is_lost", _STORE_FAULTS + "test_a_disk_that_stays_full_from_any_write_on",
        _RUN_FAULTS + "test_errors_of_the_system_end_a_run_in_order", "cli/test_bad_input.py::test_a_full_disk_ends_with_a_sentence_and_the_next_run_finishes", _SYSCALLS)),
    Row("D6", "a disk that is really full, at many levels", (_RUN_FAULTS + "test_a_store_on_a_disk_that_is_full_out_of_names_or_read_only", _SYSCALLS),
        "skipped, with the reason, where nobody may mount in a name space of their own"),
    Row("D7", "a file system out of inodes", (_RUN_FAULTS + "test_a_store_on_a_disk_that_is_full_out_of_names_or_read_only",), "as D6"),
    Row("D8", "quota and input/output errors, fsync among them", (
        _STORE_FAULTS + "test_every_call_fails_and_nothing_acknowledged_is_lost", _RUN_FAULTS + "test_errors_of_the_system_end_a_run_in_order", _SYSCALLS)),
    Row("D9", "rename across devices, or forbidden", (_STORE_FAULTS + "test_every_call_fails_and_nothing_acknowledged_is_lost", _RUN_FAULTS + "test_errors_of_the_system_end_a_run_in_order", _SYSCALLS)),
    Row("D10", "no files left", (
        _STORE_FAULTS + "test_every_call_fails_and_nothing_acknowledged_is_lost", _RUN_FAULTS + "test_limits_that_are_too_tight_are_said",
        _RUN_FAULTS + "test_files_that_cannot_be_read_back_are_computed_again_or_said")),
    Row("D11", "short writes, interrupted calls", (_STORE_FAULTS + "test_every_call_fails_and_nothing_acknowledged_is_lost", _RUN_FAULTS + "test_short_writes_and_a_slow_disk_change_nothing", _SYSCALLS),
        "interrupted calls in the script alone: Python begins them again below every function that a test could replace (PEP 475)"),
    Row("D12", "reads that fail, or bring other bytes", ("evidence/test_store.py::test_a_flipped_bit_is_found_set_aside_and_never_used", _RUN_FAULTS + "test_files_that_cannot_be_read_back_are_computed_again_or_said")),
    Row("D13", "read-only store, no home, no place for temporary files, umask 0777", (
        _RUN_FAULTS + "test_where_and_when_a_run_finds_itself_changes_no_result", _RUN_FAULTS + "test_a_store_on_a_disk_that_is_full_out_of_names_or_read_only",
        "cli/test_bad_input.py::test_no_permission_is_said")),
    Row("D14", "a slow disk", (_RUN_FAULTS + "test_short_writes_and_a_slow_disk_change_nothing",)),
    Row("D15", "a worker's memory limit, the host's memory", (_CONTAINED + "test_a_tensor_that_no_machine_holds_ends_at_the_memory_of_its_worker", _LIMITS + "test_memory_ends_at_its_limit"),
        "that the host itself runs out is not provoked: a SIGKILL from outside (D3) is all that a run sees of it"),
    Row("D16", "hangs: in a model, while loading, while drawing", (_CONTAINED + "test_a_model_that_never_ends_is_ended_at_its_time", _LIMITS + "test_a_loop_in_native_code_ends_at_its_time", "report/test_apart.py::test_json_and_html_are_there_and_the_pdf_is_missed"),
        "no file is known that hangs while it is loaded by the pinned versions; loading is under the same limit as the rest of its node"),
    Row("D17", "signals: INT twice, TERM, HUP, PIPE, STOP and CONT", (
        _CONTAINED + "test_an_endless_model_does_not_keep_a_run_from_ending", _SIGNALS + "test_the_first_signal_ends_in_order_within_three_seconds",
        _SIGNALS + "test_the_second_signal_ends_at_once", _SIGNALS + "test_a_stopped_run_goes_on", "cli/test_cli.py::test_a_reader_that_has_gone_changes_nothing_about_the_exit_status"),
        "SIGQUIT is not caught: it ends the run at once like SIGKILL, and the next one goes on"),
    Row("D18", "other clocks, time zones and languages", (_RUN_FAULTS + "test_where_and_when_a_run_finds_itself_changes_no_result",), "a leap second is not made"),
    Row("D19", "power cuts", (*_CRASH_STATES, "benchmarks/execution/crash_states.py"), "every state that a power cut may leave is built; no machine is switched off"),
    Row("D20", "memory and overlay file systems, none with locks", (_RUN_FAULTS + "test_a_file_system_without_locks_is_refused", "evidence/test_locks.py::test_a_file_system_without_locks_is_named",
        _RUN_FAULTS + "test_a_store_on_a_disk_that_is_full_out_of_names_or_read_only"), "no overlay and no network file system is mounted"),
    Row("D21", "trials that raise, give NaN or hang; a search that is killed", (
        "tuning/test_search.py::test_a_search_killed_anywhere_and_replayed_from_its_results_asks_the_same", "tuning/test_search.py::test_failed_trials_do_not_stop_a_search_and_are_avoided",
        "tuning/test_judge.py::test_all_failed_is_all_infinite", "tuning/test_trials_in_the_graph.py::test_further_trials_leave_the_keys_of_the_earlier_ones_as_they_were"),
        "a trial that hangs is a node that hangs (D16)"),
    Row("D22", "no sandbox on this host", (_RUN_FAULTS + "test_a_kernel_without_landlock_is_said_and_a_required_sandbox_refused", "execute/test_run_graph.py::test_a_sandbox_that_is_required_and_not_there_is_a_diagnostic"),
        "forbidden user name spaces alone take nothing away: the filter of system calls closes the network as well"),
)  # fmt: skip

TOGETHER = (
    Row("E1", "sixteen runs of one audit", (_TOGETHER + "test_many_runs_of_one_audit_compute_every_key_once",)),
    Row("E2", "sixteen audits that share steps", (_TOGETHER + "test_audits_that_share_steps_compute_the_shared_ones_once",)),
    Row("E3", "the run dies that holds a claim", (_TOGETHER + "test_who_waits_for_a_run_that_is_killed_takes_its_work_over", "evidence/test_locks.py::test_sigkill_gives_a_lock_back", "execute/test_run_graph.py::test_a_key_that_another_run_is_at_work_on_is_waited_for")),
    Row("E4", "a sweep while runs write", (_TOGETHER + "test_sweeping_and_verifying_while_runs_write_hurts_nobody", _MANIFESTS + "test_nothing_is_swept_while_a_run_goes_on", "evidence/test_sweep.py::test_nobody_sweeps_while_a_run_goes_on")),
    Row("E5", "`pgx verify` while runs write", (_TOGETHER + "test_sweeping_and_verifying_while_runs_write_hurts_nobody",)),
    Row("E6", "a store of a later version", (_TOGETHER + "test_a_store_of_a_later_version_is_not_touched", _MANIFESTS + "test_a_store_that_cannot_be_used_is_a_diagnostic_with_a_way_out")),
    Row("E7", "another version of a library", (_TOGETHER + "test_another_version_of_a_library_has_keys_of_its_own_and_the_difference_is_named", "versioning/test_lock.py::test_what_has_changed_is_named")),
    Row("E8", "the store against a dictionary", ("evidence/test_store_machine.py::TestStore", "benchmarks/execution/stateful.py"), "hundreds of steps at every change; 10,000 are the script's"),
)  # fmt: skip

TAMPERING = (
    Row("F1", "any byte of a run or of the ledger changed", (_DAMAGED + "test_every_sampled_byte_that_changes_is_found_and_its_file_named", "evidence/test_ledger.py::test_every_single_changed_byte_is_found")),
    Row("F2", "files cut, extended, emptied, deleted, swapped", (_DAMAGED + "test_a_structural_change_is_found_and_named", _DAMAGED + "test_swapped_files_are_said_to_be_swapped")),
    Row("F3", "links, pipes and folders in the place of files", (_DAMAGED + "test_a_structural_change_is_found_and_named", "regressions/test_broken_watchers_and_stores.py::test_a_folder_in_place_of_an_object_or_a_record_is_damage", "evidence/test_accept.py::test_what_is_no_regular_file_is_refused")),
    Row("F4", "lines of the ledger edited, removed, moved, cut off, all written anew", (
        _DAMAGED + "test_a_line_of_the_ledger_that_was_changed_is_found", _DAMAGED + "test_a_ledger_whose_end_was_cut_off_is_found_by_a_run_that_was_there",
        "evidence/test_ledger.py::test_the_first_line_that_does_not_hold_is_named", "evidence/test_ledger.py::test_a_ledger_written_anew_or_cut_short_has_another_head")),
    Row("F5", "a record that points to another result", (_MANIFESTS + "test_a_record_that_was_made_to_point_elsewhere_is_found_by_the_runs_before", "evidence/test_store.py::test_a_damaged_record_counts_as_absent")),
    Row("F6", "pickles and modules planted in store, run and box", ("evidence/test_store.py::test_no_array_is_ever_unpickled", "evidence/test_accept.py::test_arrays_that_cannot_be_read_without_unpickling_are_refused", _DAMAGED + "test_a_structural_change_is_found_and_named")),
    Row("F7", "factsheet, pages and evidence that differ", (_DAMAGED + "test_a_factsheet_that_differs_from_its_evidence_says_where_first", _DAMAGED + "test_a_page_that_differs_from_the_facts_is_named_alone")),
    Row("F8", "an old run under another run's name", (_DAMAGED + "test_an_old_run_under_another_runs_name_is_told_apart", _DAMAGED + "test_a_run_that_is_given_another_identity_is_not_the_sealed_one")),
    Row("F9", "a trust file that is edited, expired, open to others", ("trust/test_trust_file.py::test_a_file_that_others_could_have_written_is_refused_whole", "trust/test_trust_file.py::test_a_file_of_another_user_is_refused", _RUNNING + "test_the_day_after_its_last_a_trust_holds_no_more")),
    Row("F10", "locks that are links or somebody else's", ("evidence/test_locks.py::test_a_link_in_a_locks_place_is_refused", _MANIFESTS + "test_a_store_that_cannot_be_used_is_a_diagnostic_with_a_way_out"),
        "a store of another user is not made: tests run as one user"),
)  # fmt: skip

OUTPUT = (
    Row("G1", "500 hostile strings in every name and message", (
        "report/test_hostile_strings.py::test_no_text_becomes_markup", "report/test_hostile_strings.py::test_nothing_that_hides_turns_or_commands_reaches_a_page",
        "report/test_hostile_pdf.py::test_it_is_printed_fetches_nothing_and_acts_on_nothing", "hostile/test_output_formats.py::test_diagnostics_of_hostile_names_do_nothing",
        "hostile/test_output_formats.py::test_what_words_say_cannot_command_a_terminal", "execute/test_journal.py::test_no_message_breaks_a_line_or_reaches_a_terminal")),
    Row("G2", "links that would attach local files", ("report/test_pdf_document.py::test_a_planted_link_stops_the_rendering", "report/test_html_page.py::test_nothing_is_loaded_from_outside")),
    Row("G3", "thousands of features and findings", ("report/test_pdf_document.py::test_long_tables_are_cut_and_say_so", "report/test_view.py::test_a_wide_and_long_table_is_cut_and_counted")),
    Row("G4", "fonts that are not there", ("report/test_pdf_document.py::test_all_fonts_are_embedded",), "a host without any font is not made; without the library there is a note and no PDF (G6)"),
    Row("G5", "the same PDF and page at every time", ("report/test_pdf_document.py::test_the_same_factsheet_gives_the_same_bytes", "report/test_html_page.py::test_the_same_factsheet_gives_the_same_bytes")),
    Row("G6", "whoever draws hangs or dies", ("report/test_apart.py::test_json_and_html_are_there_and_the_pdf_is_missed", "report/test_apart.py::test_a_run_without_its_pdf_is_incomplete_but_a_failed_one_stays_failed")),
    Row("G7", "streams that are closed, full, narrow or ASCII", ("hostile/test_output_streams.py::test_whatever_becomes_of_the_streams_the_run_is_the_same", "hostile/test_output_streams.py::test_an_ascii_locale_and_a_narrow_place_change_nothing")),
)  # fmt: skip

THREATS = (
    Row("T1", "a spec that exhausts its reader", (), rows=("A1", "A2", "A3", "A4", "A9", "A14", "A17")),
    Row("T2", "a spec that means something else to its reader", (), rows=("A5", "A6", "A7", "A8", "A10")),
    Row("T3", "paths and addresses that lead elsewhere", (), rows=("A13", "B12", "C1")),
    Row("T4", "a spec that brings code", (), rows=("A15",)),
    Row("T5", "a model that brings code or file operations", (), rows=("B1", "B2", "B3", "B5", "B6", "B7", "B8", "B16")),
    Row("T6", "a model that reads the host or the data and tells it", (_SANDBOX + "test_files_outside_are_not_read", _SANDBOX + "test_no_address_is_reached", _SANDBOX + "test_sockets_of_other_programs_are_not_reached", _SANDBOX + "test_two_models_never_share_a_process"), rows=("B3", "B8", "B12", "G1"),
        open="what a model answers is part of the evidence: rows that it was shown may stand in its scores"),
    Row("T7", "a model that expands, hangs or crashes", (), rows=("B4", "B9", "B10", "B11", "B14", "B15", "B19", "D16")),
    Row("T8", "a model that behaves differently under audit", (), rows=("B17", "B18"), open="a model that knows an audit by its rows cannot be told from one that does not; that it answers alike each time is checked"),
    Row("T9", "files swapped between check and use", ("evidence/test_store.py::test_ingest_copies_what_was_hashed_and_refuses_what_changed",), rows=("A16", "B12", "B13", "C9")),
    Row("T10", "data that expand, lie or are silently changed", (), rows=("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8")),
    Row("T11", "markup, scripts, terminal commands and formulas in names", (), rows=("G1", "G2", "G3")),
    Row("T12", "stored results that have changed, or that a stranger's folder brings along", (_MANIFESTS + "test_evidence_of_the_store_that_was_changed_is_computed_again_and_never_used", "trust/test_stores.py::test_results_that_a_stranger_brings_along_are_not_believed"), rows=("D12", "F1", "F2", "F3", "F5")),
    Row("T13", "evidence that somebody has edited", (_DAMAGED + "test_a_run_alone_is_derived_without_store_model_data_or_framework",), rows=("F1", "F2", "F4", "F5", "F7", "F8"),
        open="who can rewrite the ledger, the run and every copy of its seal can rewrite history: keep a seal elsewhere"),
    Row("T14", "planted pickles", (), rows=("B6", "C4", "F6")),
    Row("T15", "kills, power cuts, full and failing disks", (), rows=("D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D10", "D11", "D13", "D14", "D15", "D19")),
    Row("T16", "two runs on one store, clocks, file systems without locks", (), rows=("D18", "D20", "E1", "E2", "E3", "E6", "E8")),
    Row("T17", "other processors and versions of libraries", (), rows=("D18", "E7"), open="another processor is not at hand; how results drift with its instructions is measured by hand (ONEDNN_MAX_CPU_ISA, NPY_DISABLE_CPU_FEATURES)"),
    Row("T18", "secrets of the environment", (_SANDBOX + "test_the_environment_is_clean_and_the_place_its_own", _SANDBOX + "test_nothing_is_inherited", "execute/test_journal.py::test_secrets_of_the_environment_and_of_addresses_are_withheld", "report/test_apart.py::test_what_draws_is_told_no_secret", _MANIFESTS + "test_no_file_of_a_run_says_where_on_this_host_it_was_made")),
    Row("T19", "audits that would run for ever", (), rows=("A11", "A12", "C7")),
    Row("T20", "a sweep that deletes evidence, a store that fills the disk", ("evidence/test_sweep.py::test_what_a_run_rests_on_stays_and_the_rest_goes", "evidence/test_sweep.py::test_what_is_young_stays_because_its_run_may_not_have_ended", "evidence/test_sweep.py::test_a_size_is_kept_to_by_forgetting_the_oldest_runs_but_never_the_newest", "evidence/test_sweep.py::test_nothing_is_touched_in_a_pretence"), rows=("D6", "E4")),
)  # fmt: skip

SECTIONS = {
    "A": ("Bad specs", SPECS),
    "B": ("Bad models", MODELS),
    "C": ("Bad data", DATA),
    "D": ("Faults while a run goes on", FAULTS),
    "E": ("Several runs at once", TOGETHER),
    "F": ("Tampering", TAMPERING),
    "G": ("What is printed", OUTPUT),
}
CATALOGUE = tuple(row for _, rows in SECTIONS.values() for row in rows)
EXPECTED = {"A": 17, "B": 20, "C": 9, "D": 22, "E": 8, "F": 10, "G": 7}
"""Rows of each section of the catalogue; the threat model has twenty."""
