import sys
from pathlib import Path

from PIL import Image

from parallelize import processed

source, target = Path(sys.argv[1]), Path(sys.argv[2])


@processed
def resize(file: Path) -> None:
    with Image.open(file) as image:
        image.thumbnail((800, 800))
        image.save(target / file.name)


target.mkdir(exist_ok=True)
files = sorted(source.glob("*.png"))
done = resize.map(
    files, ordered=False, with_input=True, return_exceptions=True, progress="resizing"
)
for file, error in done:
    if error:
        print(f"{file.name}: {error!r}")
print(f"{len(list(target.iterdir()))} of {len(files)} images")
