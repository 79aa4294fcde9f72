"""What configure() puts into the environment, what it leaves, and what the real jax makes of it."""

import inspect
import json
import os
import subprocess
import sys

import pytest

from touchline.errors import UsageError
from touchline.watch.jax_memory import configure

NAMES = (
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_FLAGS",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
    "JAX_PREALLOCATE",
)


def python(code, **environment):
    """Run code in a process of its own that has none of the variables but the given ones."""
    clean = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment = {**clean, "JAX_PLATFORMS": "cpu", **environment}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_jax_reads_what_was_set(tmp_path):
    code = (
        "import json\nfrom touchline.watch.jax_memory import configure\n"
        f"configure(0.6, cuda_data_dir={str(tmp_path)!r})\n"
        "import jax; from jaxlib import xla_client\njax.devices()\n"
        "print(json.dumps(xla_client.generate_pjrt_gpu_plugin_options()))\n"
        "import os; print(os.environ['XLA_FLAGS'])"
    )
    done = python(code, XLA_FLAGS="--xla_cpu_enable_fast_math=false")
    assert done.returncode == 0, done.stderr
    answer, flags = done.stdout.splitlines()
    options = json.loads(answer)
    assert options["memory_fraction"] == 0.6
    assert options["preallocate"] is False
    assert flags == f"--xla_cpu_enable_fast_math=false --xla_gpu_cuda_data_dir={tmp_path}"


@pytest.mark.parametrize("name", ["XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"])
def test_jax_reads_the_fraction_of_the_user_by_either_name(name):
    code = (
        "from touchline.watch.jax_memory import configure; configure()\nfrom jaxlib import xla_client\n"
        "print(xla_client.generate_pjrt_gpu_plugin_options()['memory_fraction'])"
    )
    done = python(code, **{name: "0.3"})
    assert done.stdout == "0.3\n", done.stderr


def test_of_both_names_of_the_fraction_one_is_left_for_jax_refuses_both():
    ask = "from jaxlib import xla_client; print(xla_client.generate_pjrt_gpu_plugin_options()['memory_fraction'])"
    both = {"XLA_CLIENT_MEM_FRACTION": "0.3", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.4"}
    assert "specified together" in python(ask, **both).stderr
    done = python("from touchline.watch.jax_memory import configure; configure()\n" + ask, **both)
    assert done.stdout == "0.3\n", done.stderr


def test_it_is_refused_once_jax_has_a_backend():
    code = (
        "import jax\nfrom touchline.watch.jax_memory import configure\n"
        "configure(); print('imported only')\njax.devices()\nconfigure()"
    )
    done = python(code)
    assert done.stdout == "imported only\n"
    assert "TouchlineError: jax has created its backend already (cpu)" in done.stderr
    assert "before anything asks for jax.devices()" in done.stderr


def test_a_child_can_be_prepared_when_this_process_has_a_backend_already():
    code = (
        "import jax; jax.devices()\nfrom touchline.watch.jax_memory import configure\n"
        "child = {}; configure(environment=child); print(child['XLA_CLIENT_MEM_FRACTION'])"
    )
    done = python(code)
    assert done.stdout == "0.75\n", done.stderr


def test_jax_is_not_imported():
    code = "import sys\nfrom touchline.watch.jax_memory import configure\nconfigure(); print('jax' in sys.modules)"
    assert python(code).stdout == "False\n"


def test_an_empty_environment_gets_a_pool_that_grows_up_to_three_quarters():
    environment = {}
    report = configure(environment=environment)
    assert environment == {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_CLIENT_MEM_FRACTION": "0.75"}
    assert report.changed == environment
    assert report.notes == ()


def test_a_second_call_changes_nothing(tmp_path):
    environment = {}
    configure(cuda_data_dir=tmp_path, environment=environment)
    once = dict(environment)
    report = configure(cuda_data_dir=tmp_path, environment=environment)
    assert environment == once
    assert (report.changed, report.notes) == ({}, ())


@pytest.mark.parametrize("given", ["true", "FALSE", "no"])
def test_a_preallocation_that_the_user_wants_stays_and_is_told_as_jax_reads_it(given):
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": given}
    (note,) = configure(environment=environment).notes
    assert environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == given
    assert note.startswith(f"XLA_PYTHON_CLIENT_PREALLOCATE={given} stays, which jax reads as yes;")


@pytest.mark.parametrize("given", ["false", "False", "0"])
def test_a_preallocation_that_agrees_is_not_worth_a_note(given):
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": given}
    assert configure(environment=environment).notes == ()
    (note,) = configure(preallocate=True, environment=environment).notes
    assert "which jax reads as no" in note


def test_another_fraction_of_the_user_stays_and_is_told():
    environment = {"XLA_CLIENT_MEM_FRACTION": ".50"}
    report = configure(environment=environment)
    assert environment["XLA_CLIENT_MEM_FRACTION"] == ".50"
    assert report.notes == ("XLA_CLIENT_MEM_FRACTION=.50 stays, and 0.75 was asked for. Unset it to have that.",)
    assert configure(0.5, environment=environment).notes == ()


def test_the_old_name_of_the_fraction_stays_alone_and_is_told():
    environment = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.75"}
    (note,) = configure(environment=environment).notes
    assert "XLA_CLIENT_MEM_FRACTION" not in environment
    assert note.endswith("its name is deprecated: set XLA_CLIENT_MEM_FRACTION instead.")


def test_flags_are_appended_and_only_for_a_folder_that_exists(tmp_path):
    environment = {"XLA_FLAGS": "--xla_foo=1"}
    report = configure(cuda_data_dir=tmp_path, environment=environment)
    assert environment["XLA_FLAGS"] == f"--xla_foo=1 --xla_gpu_cuda_data_dir={tmp_path}"
    assert report.changed["XLA_FLAGS"] == environment["XLA_FLAGS"]
    environment = {"XLA_FLAGS": "--xla_foo=1"}
    (note,) = configure(cuda_data_dir=tmp_path / "none", environment=environment).notes
    assert environment["XLA_FLAGS"] == "--xla_foo=1"
    assert note == f"--xla_gpu_cuda_data_dir is left out: there is no folder {tmp_path / 'none'}."


def test_a_folder_that_the_flags_name_already_stays_and_is_told(tmp_path):
    environment = {"XLA_FLAGS": "--xla_gpu_cuda_data_dir=/opt/cuda --xla_foo=1"}
    (note,) = configure(cuda_data_dir=tmp_path, environment=environment).notes
    assert environment["XLA_FLAGS"] == "--xla_gpu_cuda_data_dir=/opt/cuda --xla_foo=1"
    assert note == f"XLA_FLAGS has --xla_gpu_cuda_data_dir=/opt/cuda, which stays, and {tmp_path} was asked for."


def test_flags_that_lie_in_a_file_are_left_to_it_and_jax_still_starts(tmp_path):
    flags = tmp_path / "flags"
    flags.write_text("--xla_cpu_enable_fast_math=false\n")
    code = (
        "from touchline.watch.jax_memory import configure\n"
        f"print(*configure(cuda_data_dir={str(tmp_path)!r}).notes)\nimport jax; print(jax.devices())"
    )
    done = python(code, XLA_FLAGS=str(flags))
    assert done.returncode == 0, done.stderr
    assert f"XLA_FLAGS={flags} names a file and stays." in done.stdout
    assert "CpuDevice" in done.stdout


def test_a_folder_with_a_space_in_its_name_is_one_flag(tmp_path):
    folder = tmp_path / "cuda 12"
    folder.mkdir()
    environment = {}
    configure(cuda_data_dir=folder, environment=environment)
    assert environment["XLA_FLAGS"] == f'--xla_gpu_cuda_data_dir="{folder}"'
    assert configure(cuda_data_dir=folder, environment=environment).notes == ()
    done = python("import jax; print(jax.devices())", XLA_FLAGS=environment["XLA_FLAGS"])
    assert "CpuDevice" in done.stdout, done.stderr


def test_a_variable_that_jax_does_not_read_is_told():
    (note,) = configure(environment={"JAX_PREALLOCATE": "false"}).notes
    assert note == ("JAX_PREALLOCATE=false has no effect: jax reads XLA_PYTHON_CLIENT_PREALLOCATE, which is false.")


def test_an_allocator_without_a_pool_is_told():
    (note,) = configure(environment={"XLA_PYTHON_CLIENT_ALLOCATOR": "Platform"}).notes
    assert "keeps no pool" in note


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_a_fraction_that_is_no_share_is_refused(fraction):
    environment = {}
    with pytest.raises(UsageError, match="The fraction is .* at most 1"):
        configure(fraction, environment=environment)
    assert environment == {}


def test_a_fraction_of_the_user_that_jax_could_not_read_is_refused():
    environment = {"XLA_CLIENT_MEM_FRACTION": "75%"}
    with pytest.raises(UsageError, match="XLA_CLIENT_MEM_FRACTION is 75%"):
        configure(environment=environment)
    assert environment == {"XLA_CLIENT_MEM_FRACTION": "75%"}


def test_a_fraction_of_none_is_refused():
    with pytest.raises(UsageError, match="The fraction is None"):
        configure(fraction=None, environment={})


def test_no_value_of_the_environment_is_a_default_that_help_would_print():
    assert inspect.signature(configure).parameters["environment"].default is None
