"""a function of a module that was loaded by its path"""

import importlib.util
import pathlib
import sys
import tempfile

from benchmarks.faults import check, pool

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "loaded_by_path.py")
        path.write_text("def triple(x): return 3 * x\n")
        spec = importlib.util.spec_from_file_location("loaded_by_path", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["loaded_by_path"] = module
        spec.loader.exec_module(module)
        check(pool(), [(module.triple, 4)], [12])
