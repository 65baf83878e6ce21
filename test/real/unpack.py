"""unpack.py FILE SHA256: checks a zip file's digest, unpacks it here and removes it."""
import hashlib
import os
import sys
import zipfile

path, expected = sys.argv[1:]
digest = hashlib.sha256()
with open(path, "rb") as archive:
    while block := archive.read(1 << 20):
        digest.update(block)
    if digest.hexdigest() != expected:
        sys.exit(f"{path} is not what it was: {digest.hexdigest()}")
    zipfile.ZipFile(archive).extractall()
os.remove(path)
