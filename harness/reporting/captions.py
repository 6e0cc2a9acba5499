"""What stands under a comparison table: budget, recipe, seeds, files, sources, and what is not among its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness import metrics
from harness.method import Method
from harness.reporting import trained
from harness.reporting.asked import budget_told, recipe_told
from harness.reporting.beside import GAP, shown, too_good
from harness.reporting.published import PublishedValue
from harness.reporting.rows import Comparison
from harness.reporting.strata import strata
from harness.reporting.versions import name_of
from harness.run import ORACLE
from harness.runs.records import Record


def caption(comparison: Comparison, values: list[PublishedValue], methods: Mapping[str, Method]) -> list[str]:
    first, key = comparison.records[0], comparison.key
    finished = [record for record in comparison.records if record.status == "ok"]
    lines = [budget_told(first), recipe_told(finished or list(comparison.records)), _seeds_told(comparison)]
    if key.select == ORACLE:
        lines.append(
            "the checkpoint was chosen by its error on the test set, as many papers did: these numbers are too good, and are "
            "never mixed with others"
        )
    else:
        lines.append(
            "the checkpoint was chosen on images held out of training; of each run the test images were counted once"
        )
    if (alike := max((stratum.alike for row in comparison.rows for stratum in row.strata), default=1)) > 1:
        lines.append(
            f"the test images are frames of video, and neighbours alike: intervals draw blocks of up to {alike} of them"
        )
    protocol = first.identity.get("protocol", {})
    if tested_on := protocol.get("tested_on"):
        lines.append(f"tested on {tested_on}")
    if mean_of := protocol.get("mean_of"):
        lines.append(f"MAE and RMSE are means over the {mean_of}s of the test set, as in the papers")
    lines += data_lines(finished)
    plugins = sorted({f"{record.plugin.distribution} {record.plugin.version}" for record in finished})
    lines += [f"trained by {', '.join(plugins)}{libraries(finished)}"] if plugins else []
    sources = sorted({f"{v.paper}, {v.table}" for v in values if v.dataset == key.dataset and shown(comparison, v)})
    if sources:
        lines.append(f"published numbers (their own training and budget): {'; '.join(sources)}")
        lines.append(f"{GAP}: of the MAE; below zero where the paper's is better (its lowest, where papers disagree)")
    if any(trained.share(row, methods) is not None for row in comparison.rows):
        lines.append(trained.MEANING)
    if finished:
        lines.append(trained.checkpoint_meaning(key.select))
    lines.append(
        "behind the best: the MAE less that of the first row, which is first by these images, image by image. Where the whole "
        "interval is above zero these trained networks differ on such images; whether others of the same methods would, only "
        "further seeds say. A row whose interval of MAE less the lower floor's, image by image, reaches zero says so"
    )
    lines += _apart(comparison)
    for row in comparison.rows:
        if too_good(row, key.dataset, values):
            lines.append(
                f"**{row.title} is far better than its paper.** In this field that has meant a checkpoint chosen on the test "
                f"set, a scaling bug or a leak: check before believing it"
            )
    return lines + left_out_lines(comparison)


def _apart(comparison: Comparison) -> list[str]:
    """The MAE of each seed of the rows that have several."""
    told = []
    for row in comparison.rows:
        seeds = sorted({record.seed for record in row.records})
        if len(seeds) > 1 and not row.missing:
            of_each = [strata([record for record in row.records if record.seed == seed]) for seed in seeds]
            errors = [metrics.grouped_mean([one.counts for one in drawn], metrics.MAE) for drawn in of_each]
            told.append(f"{row.title} {', '.join(f'{error:.{comparison.digits}f}' for error in errors)}")
    return [f"MAE by seed: {'; '.join(told)}"] if told else []


def _seeds_told(comparison: Comparison) -> str:
    """What the numbers are means over, and what their intervals hold."""
    folds = comparison.records[0].folds
    by_row = sorted({len({record.seed for record in row.records}) for row in comparison.rows if row.records}) or [1]
    several = by_row[-1] > 1
    told = []
    if folds:
        both = " and seeds" if several else ""
        told.append(f"{folds}-fold cross-validation; MAE and RMSE are means over folds{both}")
    if not several:
        told.append("one seed: intervals are over test images, and hold nothing of other seeds")
        return "; ".join(told)
    if not folds or len(by_row) > 1:
        told.append(f"means over {' to '.join(map(str, dict.fromkeys((by_row[0], by_row[-1]))))} seeds")
    told.append(
        "intervals are over test images, the same ones drawn for every seed: the mean over these seeds, on other images"
    )
    if by_row[0] == 1:
        told.append("those of one seed hold nothing of others")
    return "; ".join(told)


def libraries(finished: Sequence[Record]) -> str:
    """ " with keras 3.15.1, tensorflow 2.20.0 and 2.21.0; commit 0123456789ab": what trained the runs, as far as they say."""
    found: dict[str, set[str]] = {}
    for record in finished:
        versions = record.environment.get("versions", {})
        for name in ("keras", str(record.environment.get("backend"))):
            if name in versions:
                found.setdefault(name, set()).add(str(versions[name]))
    told = ", ".join(f"{name} {' and '.join(sorted(versions))}" for name, versions in found.items())
    return (f" with {told}" if told else "") + _commits(finished)


def _commits(finished: Sequence[Record]) -> str:
    """ "; commit 0123456789ab", where there are several with the methods that each of them trained."""
    by_commit: dict[str, set[str]] = {}
    for record in finished:
        for commit in str(record.environment.get("commit") or "").split(", "):
            by_commit.setdefault(commit, set()).add(name_of(record))
    silent = by_commit.pop("", set())
    if not by_commit:
        return ""
    apart = len(by_commit) > 1 or bool(silent)
    told = ", ".join(
        commit + (f" ({', '.join(sorted(names))})" if apart else "") for commit, names in sorted(by_commit.items())
    )
    return f"; commit {told}" + (f"; {', '.join(sorted(silent))}: not said" if silent else "")


def left_out_lines(comparison: Comparison) -> list[str]:
    """What is not among the rows, in words: superseded versions, runs that failed, and what is missing of others."""
    lines = [
        f"**ended early**: {record.name}: a callback of a plugin ended it after {record.training.epochs} epochs"
        for record in comparison.records
        if record.training and record.training.stopped
    ]
    if comparison.hidden:
        runs = Counter((name_of(record), record.plugin.version) for record in comparison.hidden)
        what = ", ".join(
            f"{name} {version} ({n} run{'s' if n > 1 else ''})" for (name, version), n in sorted(runs.items())
        )
        lines.append(f"left out, of superseded versions: {what}; `harness report --all-versions` shows them")
    for record in comparison.records:
        if record.status != "ok":
            message = " ⏎ ".join(line.strip().replace("|", "¦") for line in record.message.splitlines())
            lines.append(f"**{record.status}**: {record.name}: {message or 'no message'}")
    return lines


def data_lines(finished: list[Record]) -> list[str]:
    """The files that were measured on, in words; nothing where no run has finished."""
    if not finished:
        return []
    data = finished[0].data
    assert data is not None
    lines = [f"data fingerprint {data.fingerprint}"]
    if data.test_images < data.test_images_available:
        lines.append(f"measured on {data.test_images} of {data.test_images_available} test images")
    lines += [f"**not the authors' own files**: {departure}" for departure in data.departures]
    return lines
