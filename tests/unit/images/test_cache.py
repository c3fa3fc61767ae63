import multiprocessing
import os
import time
from pathlib import Path

import pytest

from fixtures.images.cache import SUPERSEDED_KEPT_S, cached, key_of, recipe_digest

KEY = key_of(["recipe", "package=1"])
OTHER_KEY = key_of(["recipe", "package=2"])


def write_count(folder: Path) -> None:
    (folder / "content").write_text("built")


def test_a_product_is_built_once_and_found_afterwards(tmp_path: Path) -> None:
    first = cached(tmp_path, "tiny", KEY, write_count)
    (first / "content").write_text("kept")
    second = cached(tmp_path, "tiny", KEY, write_count)
    assert second == first
    assert (second / "content").read_text() == "kept"


def test_another_key_is_another_product(tmp_path: Path) -> None:
    assert cached(tmp_path, "tiny", KEY, write_count) != cached(tmp_path, "tiny", OTHER_KEY, write_count)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("done")
        raise RuntimeError("no space")

    with pytest.raises(RuntimeError, match="no space"):
        cached(tmp_path, "tiny", KEY, fail)
    assert [path.name for path in tmp_path.iterdir()] == [".lock-tiny"]


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    def die(folder: Path) -> None:
        (folder / "half").write_text("done")
        os._exit(9)

    child = multiprocessing.get_context("fork").Process(target=cached, args=(tmp_path, "tiny", KEY, die))
    child.start()
    child.join(30)
    assert list(tmp_path.glob(".building-tiny.*")), "the child was killed while it built"
    cached(tmp_path, "tiny", KEY, write_count)
    assert not list(tmp_path.glob(".building-tiny.*"))


def test_a_build_of_a_longer_name_is_left_alone(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        cached(tmp_path, "tiny", KEY, write_count)
        (folder / "content").write_text("built")

    product = cached(tmp_path, "tiny-disk", KEY, build)
    assert (product / "content").read_text() == "built"


def test_two_processes_that_want_a_product_build_it_once(tmp_path: Path) -> None:
    builds = tmp_path / "builds"
    cache = tmp_path / "cache"

    def build(folder: Path) -> None:
        with builds.open("a") as file:
            file.write("build\n")
        (folder / "content").write_text("built")

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=cached, args=(cache, "tiny", KEY, build)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * 4
    assert builds.read_text() == "build\n"


def test_a_version_that_nobody_used_for_long_gives_way_to_a_new_one(tmp_path: Path) -> None:
    old = cached(tmp_path, "tiny", KEY, write_count)
    neighbour = cached(tmp_path, "tiny-disk", KEY, write_count)
    long_ago = time.time() - SUPERSEDED_KEPT_S - 60
    for product in (old, neighbour):
        os.utime(product, (long_ago, long_ago))
    cached(tmp_path, "tiny", OTHER_KEY, write_count)
    assert not old.exists()
    assert neighbour.exists(), "another image of a longer name is not a version of this one"


def test_a_recipe_is_told_by_content_name_and_mode(tmp_path: Path) -> None:
    recipe = tmp_path / "overlay"
    recipe.mkdir()
    file = recipe / "rc"
    file.write_text("echo up")
    digests = [recipe_digest(recipe)]
    file.chmod(0o755)
    digests.append(recipe_digest(recipe))
    file.write_text("echo down")
    digests.append(recipe_digest(recipe))
    file.rename(recipe / "rc.local")
    digests.append(recipe_digest(recipe))
    assert len(set(digests)) == 4
    os.utime(recipe / "rc.local", (0, 0))
    assert recipe_digest(recipe) == digests[-1], "its time is no part of a recipe"
