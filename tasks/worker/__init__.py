"""Code of the worker processes. Children count in files, which their parent reads (`metrics/folder.py`)."""

import atexit
import os
import shutil
import tempfile

if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    _folder = tempfile.mkdtemp(prefix="evzone-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _folder
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
