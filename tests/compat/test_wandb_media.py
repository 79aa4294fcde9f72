"""What a script that speaks to W&B keeps as pictures, videos, distributions, tables and files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import touchline.compat.wandb as wandb
from touchline.errors import TouchlineError, UsageError

from .conftest import events, points, start

pytestmark = pytest.mark.usefixtures("journal_only")


def test_images_of_every_common_form_are_kept() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    directory = start()
    figure, axes = pyplot.subplots()
    axes.plot([1, 2])
    Image.new("RGB", (4, 3), (255, 0, 0)).save(directory / "x.png")
    wandb.log(
        {
            "colour": wandb.Image(np.full((3, 4, 3), 200, np.uint8), caption="grass"),
            "grey": wandb.Image(np.full((3, 4), 0.5)),
            "pillow": wandb.Image(Image.new("RGBA", (4, 3))),
            "file": wandb.Image(str(directory / "x.png")),
            "figure": figure,
            "many": [wandb.Image(np.zeros((2, 2), np.uint8)), wandb.Image(np.ones((2, 2), np.uint8))],
        },
        step=5,
    )
    wandb.finish()
    kept = {payload["name"]: payload for _, step, payload in events(directory, "image") if step == 5}
    assert set(kept) == {"colour", "grey", "pillow", "file", "figure", "many/0", "many/1"}
    assert kept["colour"]["caption"] == "grass"
    pixels = {name: np.asarray(Image.open(directory / payload["path"])) for name, payload in kept.items()}
    assert pixels["colour"].shape == (3, 4, 3) and pixels["colour"].max() == 200
    assert set(pixels["grey"].ravel()) == {128}
    assert pixels["file"][0, 0].tolist() == [255, 0, 0]
    assert pixels["figure"].shape[0] > 100


def test_a_torch_image_has_its_channels_first() -> None:
    torch = pytest.importorskip("torch")
    from PIL import Image

    directory = start()
    wandb.log({"frame": wandb.Image(torch.zeros(3, 5, 7, requires_grad=True))})
    wandb.finish()
    (_, _, payload) = events(directory, "image")[0]
    assert Image.open(directory / payload["path"]).size == (7, 5)


def test_frames_become_a_video_with_their_axes_in_order() -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    directory = start()
    frames = np.zeros((6, 3, 32, 48), np.uint8)
    frames[:, 0] = 250
    wandb.log({"eval": wandb.Video(frames, fps=10, format="gif", caption="kick")}, step=9)
    wandb.finish()
    ((_, step, payload),) = events(directory, "video")
    assert (step, payload["name"], payload["caption"]) == (9, "eval", "kick")
    reader = imageio_ffmpeg.read_frames(str(directory / payload["path"]))
    size = next(reader)["size"]
    picture = np.frombuffer(next(reader), np.uint8).reshape(size[1], size[0], 3)
    reader.close()
    assert size == (48, 32)
    assert picture[..., 0].mean() > 200 and picture[..., 1:].mean() < 50


def test_several_videos_are_tiled_into_one() -> None:
    from touchline.compat.wandb._media import frames

    videos = np.stack([np.full((2, 1, 4, 6), value, np.uint8) for value in (10, 20, 30)])
    grid = frames(videos)
    assert grid.shape == (2, 8, 12, 3)
    assert (grid[0, 0, 0, 0], grid[0, 0, 6, 0], grid[0, 4, 0, 0], grid[0, 4, 6, 0]) == (10, 20, 30, 0)


def test_frames_with_channels_last_are_taken_and_said(caplog: pytest.LogCaptureFixture) -> None:
    from touchline.compat.wandb._media import frames

    assert frames(np.zeros((5, 16, 16, 3), np.uint8)).shape == (5, 16, 16, 3)
    assert "W&B wants (frames, channels, height, width)" in caplog.text
    with pytest.raises(UsageError, match=r"\(5, 16, 16\).*transpose"):
        wandb.Video(np.zeros((5, 16, 16), np.uint8))


def test_a_video_may_be_a_path_or_bytes(tmp_path: Path) -> None:
    directory = start()
    path = tmp_path / "walk.mp4"
    path.write_bytes(b"mp4 bytes")
    wandb.log({"path": wandb.Video(str(path)), "bytes": wandb.Video(io.BytesIO(b"webm bytes"), format="webm")})
    wandb.finish()
    kept = {payload["name"]: directory / payload["path"] for _, _, payload in events(directory, "video")}
    assert (kept["path"].read_bytes(), kept["bytes"].read_bytes()) == (b"mp4 bytes", b"webm bytes")
    assert kept["bytes"].suffix == ".webm"


def test_distributions_keep_their_counts() -> None:
    directory = start()
    counted = np.histogram([1.0, 2.0, 2.0], bins=[0.0, 1.5, 3.0])
    wandb.log(
        {
            "sequence": wandb.Histogram([0.0, 1.0, 1.0], num_bins=2),
            "counted": wandb.Histogram(np_histogram=counted),
            "array": np.arange(10.0),
        }
    )
    wandb.finish()
    kept = {payload["name"]: payload for _, _, payload in events(directory, "histogram")}
    assert kept["sequence"]["counts"] == [1, 2]
    assert (kept["counted"]["edges"], kept["counted"]["counts"]) == ([0.0, 1.5, 3.0], [1, 2])
    assert sum(kept["array"]["counts"]) == 10


def test_a_table_is_kept_with_its_pictures() -> None:
    directory = start()
    table = wandb.Table(columns=["task", "score", "frame"])
    table.add_data("kick", np.float32(0.5), wandb.Image(np.zeros((2, 2), np.uint8)))
    with pytest.raises(UsageError, match="3 columns, and this row has 1"):
        table.add_data("alone")
    wandb.log({"tasks": table, "frame": wandb.Table(data=[[1, 2], [3, 4]], columns=["a", "b"])})
    wandb.finish()
    kept = {payload["name"]: payload for _, _, payload in events(directory, "table")}
    assert kept["tasks"]["rows"] == [["kick", 0.5, "tasks/frame-0"]]
    assert kept["frame"]["rows"] == [[1, 2], [3, 4]]
    assert [payload["name"] for _, _, payload in events(directory, "image")] == ["tasks/frame-0"]


def test_a_data_frame_is_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    directory = start()
    wandb.log({"scores": wandb.Table(dataframe=pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}))})
    wandb.finish()
    ((_, _, payload),) = events(directory, "table")
    assert (payload["columns"], payload["rows"]) == (["a", "b"], [[1, "x"], [2, "y"]])


def test_an_artifact_keeps_its_files_as_they_were_added(tmp_path: Path) -> None:
    directory = start()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.bin").write_text("a")
    (tmp_path / "policy.pt").write_text("old")
    artifact = wandb.Artifact("policy", type="model", metadata={"steps": 10})
    artifact.add_file(str(tmp_path / "policy.pt"))
    artifact.add_dir(str(tmp_path / "weights"), name="parts")
    with artifact.new_file("note.txt") as file:
        file.write("hello")
    (tmp_path / "policy.pt").write_text("new")
    assert wandb.log_artifact(artifact, aliases=["best"]).wait() is artifact
    wandb.finish()
    ((_, _, payload),) = events(directory, "artifact")
    kept = directory / payload["path"]
    assert payload["name"] == "policy"
    assert (kept / "policy.pt").read_text() == "old"
    assert (kept / "parts" / "a.bin").read_text() == "a"
    assert (kept / "note.txt").read_text() == "hello"
    assert '"steps": 10' in (kept / "metadata.json").read_text()


def test_an_artifact_cannot_lead_out_of_itself(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(UsageError, match=r"'\.\./x' leads out"):
        wandb.Artifact("a", type="file").add_file(tmp_path / "x", name="../x")
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "a.txt").symlink_to("../x")
    artifact = wandb.Artifact("a", type="file")
    with pytest.raises(TouchlineError, match=r"symbolic link a\.txt to \.\./x, which leads out"):
        artifact.add_dir(str(tmp_path / "many"))
    assert list(artifact.files_at.rglob("*")) == []


def test_saved_files_and_those_of_the_runs_directory_are_kept_as_they_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = start()
    Path("out").mkdir()
    Path("out/a.txt").write_text("first")
    assert wandb.save("out/*.txt") == ["out/a.txt"]
    Path("out/a.txt").write_text("at the end")
    (Path(wandb.run.dir) / "model.h5").write_text("weights")
    wandb.finish()
    kept = [
        (payload["name"], (directory / payload["path"]).read_text())
        for _, _, payload in events(directory, "artifact")
    ]
    assert kept == [("out/a.txt", "first"), ("out/a.txt", "at the end"), ("model.h5", "weights")]


def test_a_page_is_kept_as_a_file() -> None:
    directory = start()
    wandb.log({"report": wandb.Html("<b>goal</b>")}, step=3)
    wandb.finish()
    ((_, _, payload),) = events(directory, "artifact")
    assert (payload["name"], (directory / payload["path"]).read_text()) == ("html/report-3.html", "<b>goal</b>")


def test_media_that_cannot_be_kept_costs_itself_only(caplog: pytest.LogCaptureFixture) -> None:
    directory = start()
    wandb.log({"loss": 1.0, "gone": wandb.Video("/nowhere/walk.mp4"), "sound": wandb.Audio(np.zeros(3))})
    wandb.finish()
    assert points(directory) == {("loss", 0, 1.0)}
    assert "'gone' at step 0 is not kept" in caplog.text
    assert "wandb.Audio is not recorded" in caplog.text
