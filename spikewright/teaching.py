"""The commands that let a core learn, and that read back what a board has learned."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikewright.arguments import ImageFile, Spikes, TargetName
from spikewright.console import Console
from spikewright.errors import DataError, LinkError

if TYPE_CHECKING:
    from spikewright.image import CoreImage
    from spikewright.learned_report import LearningReport
    from spikewright.training import Trained, Training

__all__ = ["learn", "recover"]

MODELS = ("golden", "verilator", "virtual")

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Learned image to be written; it learns on, too.")
]
Epochs = Annotated[int, typer.Option(min=1, help="Times that all samples are shown.")]
Rewards = Annotated[
    Path | None,
    typer.Option(
        help="Rewards: .npy, or .npz with an array 'rewards', of integers [samples, timesteps], "
        "-128 to 127; 64 stands for 1.0."
    ),
]
Shuffle = Annotated[
    int | None,
    typer.Option(min=0, metavar="SEED", help="Draw the samples' order anew for each epoch."),
]
Skip = Annotated[
    int,
    typer.Option(
        min=0,
        help="Samples that IMAGE has learned already, counted over all epochs: to go on from a "
        "snapshot with the same options.",
    ),
]
Every = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Samples of an epoch after which the weights are read back, for --snapshots, "
        "--scale-sum and --report; after each epoch they are too.  [default: a tenth of them]",
    ),
]
ScaleSum = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Scale the plastic weights into each neuron to this sum when they are read back.",
    ),
]
Snapshots = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Save an image each time that weights are read back."),
]
Report = Annotated[
    Path | None, typer.Option(help="Page to be written, HTML: weights before, meanwhile, after.")
]
Watch = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE:NEURON,...",
        help="Synapses that the report follows, such as 3:7; sources are axons, then neurons.  "
        "[default: some that changed most]",
    ),
]
FieldSize = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        help="Pictures that the axons form, for the report.  [default: the input's, or squares]",
    ),
]


def learn(
    console: Console,
    image: ImageFile,
    spikes: Spikes,
    output: Output,
    target: TargetName = "golden",
    epochs: Epochs = 1,
    rewards: Rewards = None,
    shuffle: Shuffle = None,
    skip: Skip = 0,
    scale_sum: ScaleSum = None,
    every: Every = None,
    snapshots: Snapshots = None,
    report: Report = None,
    watch: Watch = None,
    field: FieldSize = None,
) -> None:
    """Let a core learn from input spikes, and save what it learned as an image."""
    if report is None and (watch or field):
        raise typer.BadParameter("--watch and --field are for --report.")
    from spikewright.files import fit_spikes, read_rewards, read_spikes, write_whole
    from spikewright.image import CoreImage
    from spikewright.learned import training_summary, training_tables
    from spikewright.training import Training

    core = CoreImage.load(image)
    training = Training(
        core,
        fit_spikes(read_spikes(spikes), core),
        rewards=None if rewards is None else read_rewards(rewards),
        epochs=epochs,
        shuffle=shuffle,
        skip=skip,
        every=every,
        scale_sum=scale_sum,
    )
    page = None if report is None else _report(training, watch, field)
    for path in filter(None, (output, report)):
        _check_folder(path)
    keeper = _Keeper(training, image, target, snapshots)
    started = time.perf_counter()
    trained = _run(console, keeper, page)
    seconds = time.perf_counter() - started
    trained.after.save(output)
    data = training_summary(trained, target, training.spikes.shape[1], seconds)
    wrote = [f"Wrote {output}."]
    if page is not None and report is not None:
        write_whole(report, page.render(trained, data))
        wrote.append(f"Wrote {report}.")
    snapshot = None if keeper.last is None else str(keeper.last)
    console.result(
        {"output": str(output), **data, "last_snapshot": snapshot},
        *training_tables(data),
        *wrote,
    )


def recover(
    console: Console,
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="What the board was loaded with to learn from.")
    ],
    target: Annotated[str, typer.Option(help="The board's serial port.")],
    output: Output,
) -> None:
    """Save what a board has learned after its link was lost, or learn was stopped."""
    from spikewright.image import CoreImage
    from spikewright.runtime.board import SerialTarget

    if target in MODELS:
        raise typer.BadParameter(f"--target must be a serial port: {target} keeps nothing.")
    core = CoreImage.load(image)
    _check_folder(output)
    board = SerialTarget(target)
    try:
        with console.progress(f"Reading {target}"):
            board.attach(core)
            learned = board.learned_image()
    finally:
        board.close()
    learned.save(output)
    changed = int((learned.weights != core.weights).sum())
    console.result(
        {"output": str(output), "image": core.id, "learned": learned.id, "changed": changed},
        f"Wrote {output}: {changed} weights are not those of {image}.",
    )


@dataclass
class _Keeper:
    """Saves snapshots, and knows what is left when a training ends early."""

    training: "Training"
    image: Path
    target: str
    folder: Path | None
    last: Path | None = None
    samples: int | None = None
    """Learned when weights were read back last; None until the target is loaded."""

    def __post_init__(self) -> None:
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(
                    f"Cannot make the folder {str(self.folder)!r}: {error.strerror}.",
                    hint="Name a folder, or a new one where you may write.",
                ) from None

    def keep(self, samples: int, image: "CoreImage") -> None:
        """Save a snapshot of what was learned, whole or not at all."""
        if self.folder is not None and self.samples is not None:
            name = f"{samples:0{len(str(self.training.samples))}}.core"
            image.save(self.folder / name)
            self.last = self.folder / name
        self.samples = samples

    def remains(self) -> list[str]:
        """What can be gone on from, and how."""
        if self.samples is None:
            return ["Nothing was learned."]
        if self.last is not None:
            count = int(self.last.stem)
            left = [
                f"The last snapshot is {self.last}, after {count} of {self.training.samples} "
                f"samples: give it for {self.image}, with --skip {count} and the other options as "
                "they were, to go on."
            ]
        elif self.folder is not None:
            left = ["There is no snapshot yet."]
        else:
            left = ["There are no snapshots; --snapshots FOLDER saves some."]
        if self.target in MODELS:
            return left
        loaded: Path | None = self.image
        if self.training.scale_sum is not None and self.samples > self.training.skip:
            loaded = self.last
        if loaded is None:
            return [*left, "What the board learned is lost: no file holds its scaled weights."]
        return [
            *left,
            "What the board learned until now is in it unless it loses power: spikewright recover "
            f"{loaded} --target {self.target} -o FILE saves that.",
        ]


def _run(console: Console, keeper: _Keeper, page: "LearningReport | None") -> "Trained":
    """Let the target learn; say what is left if it cannot go on."""
    from spikewright.target import able_to_learn, open_target

    training, target = keeper.training, keeper.target

    def on_read(samples: int, image: "CoreImage") -> None:
        if keeper.samples is None:
            console.detail(f"Image {image.id[:16]} loaded on {target}.")
        keeper.keep(samples, image)
        if keeper.last is not None:
            console.detail(f"Saved {keeper.last}.")
        if page is not None:
            page.add(samples, image)

    device = open_target(target, report=console.note)
    try:
        learner = able_to_learn(device)
        left = training.samples - training.skip
        with console.progress(f"Learning on {target}", left) as progress:
            return training.run(learner, on_read=on_read, progress=progress)
    except KeyboardInterrupt:
        console.note(" ".join(["Stopped.", *keeper.remains()]))
        raise
    except LinkError as error:
        if keeper.samples is None:
            raise
        hint = " ".join(keeper.remains())
        raise LinkError(error.what, reasons=error.reasons, hint=hint) from error
    finally:
        device.close()


def _report(training: "Training", watch: str | None, field: str | None) -> "LearningReport":
    """The report to be, once what is asked of it can be read."""
    from spikewright.learned_report import LearningReport

    size = None
    if field is not None:
        if not (found := re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", field)):
            raise typer.BadParameter(f"--field must be height x width such as 8x8, not {field!r}.")
        size = int(found[1]), int(found[2])
    pairs = [] if watch is None else watch.split(",")
    if not all(re.fullmatch(r"\d{1,6}:\d{1,6}", pair) for pair in pairs):
        raise typer.BadParameter(
            f"--watch must be pairs of source and neuron such as 3:7,40:2, not {watch!r}."
        )
    numbers = [tuple(map(int, pair.split(":"))) for pair in pairs]
    return LearningReport(training, watch=[(n[0], n[1]) for n in numbers], field=size)


def _check_folder(path: Path) -> None:
    """Refuse a file for results that cannot be written, before anything else takes its time."""
    if not path.parent.is_dir():
        raise DataError(
            f"Cannot write {str(path)!r}: No such file or directory.",
            hint="Name a file in a folder that is there and that you may write to.",
        )
