"""The direction of imports, read off the syntax trees: who may know whom, and what is never executed."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from data_pipeline import extras
from mgc_jax.cli import entry
from tests.support.recipe import ROOT
from tests.support.source_tree import MODULES, PACKAGES, Module, imports_of, read_all, within

UNSAFE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
UNSAFE_CALLS |= {f"yaml.{name}" for name in ("load", "load_all", "full_load", "unsafe_load")}
# What these read may be executed but for a keyword that is True; and keywords that have one safe value.
SAFE_ONLY_WITH = {"torch.load": "weights_only", ".from_pretrained": "use_safetensors"}
SAFE_ONLY_AS = {"allow_pickle": "False", "trust_remote_code": "False", "shell": "False", "weights_only": "True"}


def users(package: str) -> set[str]:
    return {name for name, module in MODULES.items() if module.uses(package)}


def project_imports(module: Module) -> set[str]:
    """The project's modules that ``module`` imports, lazily or not."""
    return {owner(i.target) for i in module.imports if i.target.startswith(PACKAGES)}


def owner(target: str) -> str:
    """``mgc_jax.config.Config`` -> ``mgc_jax.config``."""
    while target not in MODULES:
        target, dot, _ = target.rpartition(".")
        assert dot, "an import of a module that is not there"
    return target


def test_the_reader_sees_every_form_of_import():
    code = """
import a.b
from a import c as d
from . import e
from ..x import y
if TYPE_CHECKING:
    import f
try:
    import g
except ImportError:
    pass
class C:
    import h
    def m(self):
        import i
"""
    found = {(i.target, i.lazy) for i in imports_of(ast.parse(code), "p.q")}
    eager = {"a.b", "a.c", "p.q.e", "p.x.y", "g", "h"}
    assert found == {(name, False) for name in eager} | {("f", True), ("i", True)}


def test_both_packages_are_read():
    assert {"data_pipeline.prepare.builder", "mgc_jax.models.classifier", "mgc_jax.cli.entry"} <= set(MODULES)


def test_only_the_data_pipeline_touches_tensorflow():
    names = ("prepare.builder", "prepare.tfds_features", "host_tensorflow", "reading.prepared_data")
    owners = {f"data_pipeline.{name}" for name in names}
    assert users("tensorflow") | users("tensorflow_datasets") <= owners


def test_librosa_is_a_reference_of_the_tests_and_is_not_installed_with_the_program():
    assert not users("librosa") | users("numba")
    assert users("soxr") == {"data_pipeline.audio.cutting", "data_pipeline.audio.stream"}


def test_each_decoder_is_known_to_one_file_which_imports_it_on_demand():
    """Training from arrays needs none of them."""
    assert users("av") == {"data_pipeline.audio.ffmpeg"}
    for name in (name for name in MODULES if within(name, "data_pipeline.audio")):
        decoders = ("av", "soundfile", "soxr", "scipy")
        assert all(i.lazy for i in MODULES[name].imports if i.target.split(".")[0] in decoders), name


def test_only_one_file_knows_apache_beam_and_it_is_imported_on_demand():
    assert users("apache_beam") == {"data_pipeline.prepare.beam"}
    known = [i for module in MODULES.values() for i in module.imports if within(i.target, "data_pipeline.prepare.beam")]
    assert known
    assert all(i.lazy for i in known)  # Beam need not be there


def test_only_one_file_knows_mutagen_and_it_need_not_be_there():
    assert users("mutagen") == {"data_pipeline.tags.tag_file"}
    inside = {name for name in MODULES if within(name, "mgc_jax.tagging")}
    for room, command in (("mgc_jax.tagging", "mgc_jax.cli.tag"), ("data_pipeline.tags.scan", "mgc_jax.cli.scan")):
        known = {name for name in users(room) if not within(name, room)} - inside
        assert known == {command}
        assert all(i.lazy for i in MODULES[command].imports if within(i.target, room))
    known = users("data_pipeline.tags.tag_file") - inside - {"data_pipeline.tags.scan"}
    assert known == {"data_pipeline.tags.words", "mgc_jax.cli.tag"}  # the former finds a song's words
    assert all(
        i.lazy for name in known for i in MODULES[name].imports if within(i.target, "data_pipeline.tags.tag_file")
    )


def test_only_bucket_reaches_beyond_this_machines_disk():
    assert users("fsspec") == {"data_pipeline.storage.bucket"}


def test_the_data_pipeline_does_not_know_the_model():
    for package in ("mgc_jax", "jax", "flax"):
        assert not {name for name in users(package) if within(name, "data_pipeline")}


def test_pytorch_stays_in_the_twin_and_only_two_commands_know_it():
    twin = {name for name in MODULES if within(name, "mgc_jax.torch_reference")}
    assert users("torch") | users("transformers") <= twin
    commands = {"mgc_jax.cli.benchmark", "mgc_jax.cli.export"}
    assert users("mgc_jax.torch_reference") - twin == commands
    known = [i for name in commands for i in MODULES[name].imports if within(i.target, "mgc_jax.torch_reference")]
    assert all(i.lazy for i in known)  # PyTorch need not be there


def test_only_these_reach_the_hugging_face_hub():
    known = {"mgc_jax.runs.hub", "mgc_jax.export.card", "data_pipeline.storage.snapshot"}
    assert users("huggingface_hub") == known
    known = [i for module in MODULES.values() for i in module.imports if within(i.target, "huggingface_hub")]
    assert all(i.lazy for i in known)  # it reads the environment when it is imported, and takes a while


def test_only_one_command_exports():
    rooms = {name for name in MODULES if within(name, "mgc_jax.export")}
    assert users("mgc_jax.export") - rooms == {"mgc_jax.cli.export"}


def test_each_tracker_is_known_to_one_file_which_is_imported_on_demand():
    assert users("wandb") == {"mgc_jax.trackers.wandb_run"}
    assert users("mlflow") == {"mgc_jax.trackers.mlflow_run"}
    for name in ("mgc_jax.trackers.wandb_run", "mgc_jax.trackers.mlflow_run"):
        known = [i for module in MODULES.values() for i in module.imports if within(i.target, name)]
        assert known
        assert all(i.lazy for i in known)  # no tracker need be there
    inside = {name for name in MODULES if within(name, "mgc_jax.trackers")}
    assert users("mgc_jax.trackers") - inside == {"mgc_jax.training.loop"}


def test_only_one_file_knows_notebooks_and_ipython_need_not_be_there():
    assert users("IPython") == {"mgc_jax.notebook"}
    assert all(i.lazy for i in MODULES["mgc_jax.notebook"].imports if within(i.target, "IPython"))


def test_only_the_page_knows_gradio_and_is_imported_on_demand():
    assert users("gradio") == {"mgc_jax.web.page"}
    assert users("prometheus_client") == {"mgc_jax.web.metrics"}
    inside = {name for name in MODULES if within(name, "mgc_jax.web")}
    assert users("mgc_jax.web") - inside == {"mgc_jax.cli.serve"}
    known = [i for i in MODULES["mgc_jax.cli.serve"].imports if within(i.target, "mgc_jax.web")]
    assert all(i.lazy for i in known)  # Gradio need not be there


def test_only_checkpoint_imports_orbax():
    assert users("orbax") == {"mgc_jax.runs.checkpoint"}


def test_explanations_need_no_pictures():
    """What draws is imported when somebody wants to see: a song is explained where matplotlib is not."""
    for name, module in MODULES.items():
        if not within(name, "mgc_jax.plots") and name != "mgc_jax.report.render":
            assert all(i.lazy for i in module.imports if within(i.target, "mgc_jax.plots.explanations")), name
    for name in (
        "mgc_jax.explain.explainer",
        "mgc_jax.explain.explanation",
        "mgc_jax.explain.occlusion",
        "mgc_jax.explain.segments",
        "mgc_jax.inference.predictor",
    ):
        assert not any(within(i.target, "matplotlib") for i in MODULES[name].imports if not i.lazy), name


def test_models_losses_and_metrics_know_arrays_and_nothing_else():
    for name, module in MODULES.items():
        if within(name, "mgc_jax.models"):
            assert all(within(other, "mgc_jax.models") for other in project_imports(module)), name
    for name in ("mgc_jax.models.losses", "mgc_jax.evaluation.metrics"):
        assert not project_imports(MODULES[name]), name


def test_charts_and_what_they_draw_know_arrays_and_each_other():
    drawn = {"mgc_jax.evaluation.diagnostics", "mgc_jax.evaluation.retrieval"}
    for name in drawn:
        assert not project_imports(MODULES[name]), name
    assert project_imports(MODULES["mgc_jax.plots.charts"]) - {"mgc_jax"} <= drawn | {"mgc_jax.plots.text"}


def test_a_report_needs_no_device():
    run_python("import sys, mgc_jax.report.render\nassert not {'jax', 'flax', 'tensorflow'} & set(sys.modules)")
    assert users("jinja2") == {"mgc_jax.report.render"}
    inside = {name for name in MODULES if within(name, "mgc_jax.report")}
    assert users("mgc_jax.report") - inside == {"mgc_jax.cli.report"}
    asking = {name for name in inside if MODULES[name].uses("mgc_jax.api")}
    assert asking == {"mgc_jax.report.explained"}  # a page without explanations is made without a model


def test_the_command_line_is_on_top():
    outside = {name for name in users("mgc_jax.cli") if not within(name, "mgc_jax.cli")}
    assert outside == {"mgc_jax.__main__"}


def test_commands_do_not_know_each_other():
    shared = {f"mgc_jax.cli.{name}" for name in ("arguments", "command", "opening")}
    for command in entry.COMMANDS:
        name = f"mgc_jax.cli.{command.name}"
        assert {other for other in project_imports(MODULES[name]) if within(other, "mgc_jax.cli")} <= shared, name


def test_the_help_needs_neither_jax_nor_any_extra():
    heavy = {"jax", "flax", "tensorflow", "librosa", "ml_collections", "matplotlib", "torch", "gradio", "apache_beam"}
    run_python(
        f"import sys\nfrom mgc_jax import cli\ncli.parser().format_help()\nassert not {heavy} & set(sys.modules)"
    )


def room(name: str) -> str:
    """The package under ``mgc_jax`` that a module is in, or the module itself where it is in none; the whole
    ``data_pipeline`` is one room of this house, and a house of its own."""
    return "data_pipeline" if within(name, "data_pipeline") else ".".join(name.split(".")[:2])


def part(name: str) -> str:
    """The package under ``data_pipeline`` that a module is in, or the module itself."""
    return ".".join(name.split(".")[:2])


def arrows(of: Callable[[str], str], package: str = "") -> dict[str, set[str]]:
    """Who knows whom, lazily or not, for annotations or not."""
    graph: dict[str, set[str]] = {}
    for name, module in MODULES.items():
        if name.startswith(package):
            known = {of(other) for other in project_imports(module) if other.startswith(package)}
            graph[of(name)] = graph.get(of(name), set()) | (known - {of(name)})
    return graph


@pytest.mark.parametrize(
    "graph",
    [arrows(str), arrows(room), arrows(part, "data_pipeline")],
    ids=["modules", "rooms of mgc_jax", "rooms of data_pipeline"],
)
def test_nothing_knows_what_knows_it(graph):
    """Not even where it is imported on demand: there is an order in which all can be read from the bottom up."""
    left = dict(graph)
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    assert not left, f"a circle among {sorted(left)}"


def test_the_house_is_small_enough_to_be_known():
    house = arrows(room)
    loose = [path.stem for path in (ROOT / "mgc_jax").glob("*.py")]
    assert len(loose) <= 8, loose
    assert sum(map(len, house.values())) <= 131


def test_test_modules_share_by_way_of_support_only():
    modules = read_all("tests")
    assert len(modules) > 50
    for module in modules:
        known = [i.target for i in module.imports if within(i.target, "tests")]
        assert all(within(target, "tests.support") for target in known), module.name


def test_recipes_import_ml_collections_only():
    recipes = read_all("configs")
    assert recipes
    for recipe in recipes:
        assert {i.target.split(".")[0] for i in recipe.imports} <= {"ml_collections", "__future__"}, recipe.name


@pytest.mark.parametrize("name", MODULES)
def test_nothing_read_from_a_file_is_executed(name):
    module = MODULES[name]
    tops = {i.target.split(".")[0] for i in module.imports}
    assert not tops & UNSAFE_MODULES
    assert "runpy" not in tops or name == "mgc_jax.config.recipes"  # recipes are programs that a person names
    assert not {i.target for i in module.imports if within(i.target, "importlib")} - {"importlib.util"}
    assert unsafe_calls(module.tree) == []


def unsafe_calls(tree: ast.Module) -> list[str]:
    """The calls that may execute what they are given, as ``line: call``."""
    constants = {t.id for node in tree.body for t in getattr(node, "targets", []) if isinstance(t, ast.Name)}
    loops = (node for node in ast.walk(tree) if isinstance(node, ast.For | ast.comprehension))
    running = {ast.unparse(loop.target) for loop in loops if ast.unparse(loop.iter).split("[")[0] in constants}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        safe = called not in UNSAFE_CALLS
        safe &= all(given.get(name, value) == value for name, value in SAFE_ONLY_AS.items())
        safe &= all(given.get(name) == "True" for end, name in SAFE_ONLY_WITH.items() if called.endswith(end))
        if called.startswith("importlib"):
            fixed = isinstance(node.args[0], ast.Constant) or ast.unparse(node.args[0]) in constants | running
            safe &= called == "importlib.util.find_spec" and fixed
        if not safe:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize(
    ("call", "safe"),
    [
        *(
            ("eval(text)", False),
            ("exec(text)", False),
            ("compile(text, '', 'exec')", False),
            ("re.compile(text)", True),
        ),
        *(("yaml.load(file, Loader)", False), ("yaml.safe_load(file)", True), ("os.system(text)", False)),
        *(("np.load(file)", True), ("np.load(file, allow_pickle=True)", False), ("run(text, shell=True)", False)),
        *(("torch.load(file)", False), ("torch.load(file, weights_only=True)", True), ("json.load(file)", True)),
        *(("Bert.from_pretrained(name)", False), ("Bert.from_pretrained(name, use_safetensors=True)", True)),
        ("Bert.from_pretrained(name, use_safetensors=True, trust_remote_code=True)", False),
        *(("importlib.import_module(name)", False), ("importlib.util.find_spec(name)", False)),
        ("importlib.util.find_spec('torch')", True),
        ("for name in names: importlib.util.find_spec(name)", False),
        ("NAMES = {'all': ('torch',)}\nfor name in NAMES['all']: importlib.util.find_spec(name)", True),
    ],
)
def test_what_counts_as_executing(call, safe):
    assert (unsafe_calls(ast.parse(call)) == []) == safe


def run_python(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


NO_BACKEND = """
import sys
if "jax" in sys.modules:
    from jax._src import xla_bridge
    assert not xla_bridge.backends_are_initialized(), "a device was touched"
"""


def test_importing_the_package_touches_neither_tensorflow_nor_a_device():
    run_python(f"import mgc_jax\n{NO_BACKEND}\nassert 'tensorflow' not in sys.modules")


def eager_users(packages: set[str]) -> set[str]:
    """Modules whose import imports one of these packages, be it by way of others of the project."""
    found: set[str] = set()
    while (
        more := {
            name
            for name, module in MODULES.items()
            for i in module.imports
            if not i.lazy
            and (i.target.split(".")[0] in packages or (i.target.startswith(PACKAGES) and owner(i.target) in found))
        }
        - found
    ):
        found |= more
    return found


def test_a_base_installation_imports_all_but_what_belongs_to_an_extra():
    """What draws, renders and runs recipes is imported on demand, too: a song is classified without."""
    absent = {module for modules in extras.MODULES.values() for module in modules}
    absent |= {"librosa", "numba", "matplotlib", "jinja2", "ml_collections", "IPython"}
    apart = eager_users(absent)
    rooms = ("torch_reference", "web", "trackers.wandb_run", "trackers.mlflow_run", "plots", "tagging")
    inside = ("prepare", "host_tensorflow", "tags")
    allowed = (*(f"mgc_jax.{room}" for room in rooms), *(f"data_pipeline.{name}" for name in inside))
    assert not {name for name in apart if not name.startswith(allowed)}
    base = sorted(set(MODULES) - apart - {"mgc_jax.__main__"})
    assert {"mgc_jax.api", "mgc_jax.training.loop", "data_pipeline.prepare.pipeline"} <= set(base)
    run_python(
        f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name}}", name=name)
sys.meta_path.insert(0, Absent())
for name in {base}:
    importlib.import_module(name)
{NO_BACKEND}"""
    )
