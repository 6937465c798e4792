"""Records of what made a run's files."""

from medalign_utils.provenance.records import other_settings, settings_of


def test_a_key_that_an_experiment_leaves_out_has_its_default():
    notebook = "12_analyze_errors"
    by_notebook = settings_of(notebook, {"prompt": {}, "systems": ["a"], "save": True})
    assert by_notebook == {"prompt": {}, "systems": ["a"]}
    record = {"settings": by_notebook}
    assert other_settings(record, settings_of(notebook, {"systems": ["a"]})) == []
    assert other_settings(record, settings_of(notebook, {"systems": ["b"]})) == [
        "systems = [a], not [b]"
    ]
    own = {"systems": ["a"], "prompt": {"system": "Be brief."}}
    assert len(other_settings(record, settings_of(notebook, own))) == 1
