"""From every number to its file: manifests and the command that checks them, on made-up results."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nfbench import verify
from nfbench.errors import UserError
from nfbench.files import sha256_file, write_json
from nfbench.report.claims import read_claims
from nfbench.report.claims_table import claims_tables
from nfbench.report.evidence_tables import read_tables
from nfbench.report.tables import write_csv
from nfbench.trace.collect import collect_comparison
from nfbench.trace.manifest import VERSION, mapped, traced, with_forms
from nfbench.trace.remake import differences, same, written

ORIGIN = {"device": "a device", "precision": "fp32", "commit": "12345678901e2", "lock": "abc"}
ROWS = [
    {"contestant": name, "described": {"title": name}, "paper": None, "paper_base": None}
    for name in ("exact", "learned")
]


def quality(value, seed, commit="12345678901e2"):
    space = {"frechet": value, "kid": value / 9, "n": 500, "n_reference": 900, "dim": 8}
    space |= {"kid_subset_size": 50, "rank_deficient": False}
    samples = {"seed": seed, "n": 500, "guidance": 0.0, "parameters": 5000, "training": {"seconds": 1.0}}
    samples |= {"cost": {"nfe": 1.0, "score_evaluations": 0, "token_steps": None, "sweeps": None}}
    samples |= {"non_finite": 0, "clipped": 1, "settings": {}}
    samples |= {"provenance": ORIGIN | {"commit": commit}, "model_provenance": ORIGIN}
    spaces = {"effnet": space, "classifier": space}
    return {"samples": samples, "spaces": spaces, "label_accuracy": 0.7, "reason": None, "provenance": ORIGIN}


@pytest.fixture
def results(tmp_path):
    """A folder of results with table 2, made of files, in its manifest."""
    folder = tmp_path / "results"
    files = {"quality": [], "floors": [], "curves": []}
    names = {"exact": "quality", "learned": "quality", "floor": "floors", "floor-noisy": "floors"}
    for i, (name, kind) in enumerate(names.items()):
        for seed in range(3):
            path = folder / f"toy/measure/quality/{name}/seed{seed}.json"
            write_json(path, quality(10.0 * i + seed**2 * (i + 1) / 7, seed))
            files[kind].append(str(path))
    table, verdicts = collect_comparison("toy", 2, ROWS, "exact", files)
    write_csv(folder / "table2.csv", table)
    write_csv(folder / "table2_verdicts.csv", verdicts)
    recipe = {"kind": "comparison", "experiment": "toy", "table": 2, "rows": ROWS, "base": "exact"}
    entry = traced(folder / "table2.csv", {**recipe, "files": files}, folder)
    write_manifest(folder, {"table2.csv": with_forms(entry, folder / "table2.csv", folder)})
    return folder


def write_manifest(folder, tables):
    write_json(folder / "manifest.json", {"version": VERSION, "tables": tables})


def test_an_entry_tells_files_commits_seeds_and_whether_a_tree_was_dirty(results):
    entry = json.loads((results / "manifest.json").read_text())["tables"]["table2.csv"]
    name = "toy/measure/quality/learned/seed1.json"
    assert entry["files"][name] == sha256_file(results / name)
    assert len(entry["files"]) == 12
    assert (entry["commits"], entry["dirty"], entry["seeds"]) == (["12345678901e2"], False, [0, 1, 2])
    assert entry["origins"] == [ORIGIN]
    assert set(entry["forms"]) == {"table2_verdicts.csv"}
    write_json(results / name, quality(1.0, 1, commit="fff+dirty"))
    recipe = mapped(entry["recipe"], lambda path: str(results / path))
    again = traced(results / "table2.csv", recipe, results)
    assert (again["commits"], again["dirty"]) == (["12345678901e2", "fff+dirty"], True)


def test_an_entry_of_missing_files_is_refused(results):
    with pytest.raises(UserError, match=r"gone\.json is missing"):
        traced(results / "table2.csv", {"files": {"quality": [str(results / "gone.json")]}}, results)


def test_what_is_traced_passes_and_moves_as_a_whole(results, tmp_path, capsys):
    verify.main([str(results)])
    assert "Every number is traced." in capsys.readouterr().out
    results.rename(tmp_path / "elsewhere")
    assert verify.problems(tmp_path / "elsewhere") == []


def test_a_changed_number_is_found_in_its_table_and_in_its_file(results):
    table = pd.read_csv(results / "table2.csv", dtype=str)
    table.loc[1, "fd_effnet"] = "1.25"
    table.to_csv(results / "table2.csv", index=False)
    changed, told = verify.problems(results)
    assert changed == f"{results}/table2.csv has changed since the manifest was written."
    assert told.startswith(
        f"{results}/table2.csv, row 2 (toy, learned), column fd_effnet: the table says 1.25,"
    )


def test_a_changed_or_missing_measurement_is_found(results):
    path = results / "toy/measure/quality/learned/seed1.json"
    write_json(path, quality(99.0, 1))
    found = verify.problems(results)
    assert found[0] == f"{path} has changed since the manifest was written."
    assert any("column fd_effnet" in sentence for sentence in found)
    assert any("table2_verdicts.csv" in sentence for sentence in found)
    path.unlink()
    assert verify.problems(results)[0] == f"{path} is missing."
    assert f"table2.csv cannot be made again: {path} is missing" in verify.problems(results)[1]


def test_a_table_without_an_entry_is_found_and_the_command_fails(results, capsys):
    (results / "table3.csv").write_text("a\n1\n")
    with pytest.raises(SystemExit, match="1 things do not fit"):
        verify.main([str(results)])
    assert f"{results}/table3.csv is not in {results}/manifest.json" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[]", '{"version": 0}', "{"])
def test_a_manifest_that_is_none_is_refused_in_a_sentence(results, text):
    (results / "manifest.json").write_text(text)
    with pytest.raises(SystemExit, match=r"^error: .*manifest\.json is (no|not valid)"):
        verify.main([str(results)])


def test_without_a_manifest_the_command_says_how_to_make_it(tmp_path):
    with pytest.raises(SystemExit, match="make it with: snakemake results/manifest.json"):
        verify.main([str(tmp_path)])


def test_committed_references_are_checked_by_their_own_manifests(results):
    kept = results / "reference/toy-cpu"
    kept.mkdir(parents=True)
    (kept / "table1.csv").write_text("a\n1\n")
    write_json(kept / "manifest.json", {"files": {"table1.csv": sha256_file(kept / "table1.csv")}})
    assert verify.problems(results) == []
    (kept / "table1.csv").write_text("a\n2\n")
    assert verify.problems(results) == [f"{kept}/table1.csv has changed since the manifest was written."]


def test_only_packages_beside_this_one_are_imported(results):
    manifest = json.loads((results / "manifest.json").read_text())
    manifest["tables"]["table2.csv"]["recipe"]["registers"] = ["os.path"]
    write_json(results / "manifest.json", manifest)
    assert "'os.path' is no package beside nfbench" in verify.problems(results)[0]


def test_claims_are_made_again_from_the_tables_that_they_name(results, tmp_path):
    schema = Path(__file__).resolve().parents[2] / "workflow/schemas/claims.schema.yaml"
    number = "biflow-biflow-b-2-learned-reverse-imagenet256"
    selector = {"table": "table2.csv", "column": "nfe", "value": {"sampler": "learned"}, "exact": True}
    claim = {"claim": "One.", "paper": {"column": "nfe", "number": number}, "rule": "at_most", "share": 1}
    (tmp_path / "claims.yaml").write_text(
        yaml.safe_dump({"claims": {"one": claim | {"measured": [selector]}}})
    )
    claims = read_claims(tmp_path / "claims.yaml", yaml.safe_load(schema.read_text()))
    paths = [str(results / "table2.csv")]
    lines, measured = claims_tables(claims, read_tables(paths), tmp_path)
    assert lines["verdict"].tolist() == ["reproduced"]
    write_csv(results / "claims.csv", lines)
    write_csv(results / "claims_evidence.csv", measured)
    files = {"claims": [str(tmp_path / "claims.yaml")], "schema": [str(schema)], "tables": paths}
    entry = traced(results / "claims.csv", {"kind": "claims", "files": files}, results)
    tables = json.loads((results / "manifest.json").read_text())["tables"]
    write_manifest(results, tables | {"claims.csv": with_forms(entry, results / "claims.csv", results)})
    assert verify.problems(results) == []
    write_csv(results / "claims.csv", lines.assign(verdict="contradicted"))
    told = (
        f"{results}/claims.csv, row 1 (toy, one, nfe, learned), column verdict: the table says contradicted,"
    )
    assert any(sentence.startswith(told) for sentence in verify.problems(results))


def test_cells_are_the_same_up_to_rounding_and_empty_is_not_zero():
    assert same("0.1", "0.10000000000000002")
    assert same("400", "400.0")
    assert same("", "")
    assert not same("", "0")
    assert not same("0.1", "0.1001")
    assert not same("holds", "does not hold")


def test_other_columns_and_rows_are_told():
    kept = written(pd.DataFrame({"a": [1, 2], "b": [None, 3.5]}))
    assert differences("t.csv", kept, pd.DataFrame({"a": [1, 2], "b": [None, 3.5]})) == []
    assert "other columns than its files give: c" in differences("t.csv", kept, kept.assign(c=1))[0]
    assert differences("t.csv", kept, kept.head(1)) == ["t.csv has 2 rows, its files give 1."]
