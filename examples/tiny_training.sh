#!/bin/sh
# All the way to a style of one's own, in a few minutes: two folders of pictures, a training, two .onnx, and their use.
#
#   sh examples/tiny_training.sh [OUT] [EPOCHS]
#
# Six photographs, two paintings and a network of 16 filters: colours come, brushwork does not. For that take some
# hundred pictures on each side, `--preset compact` and hours, or a GPU: see "Learn a style" in the README.
# Typed again, it trains another run; OUT/runs keeps them all. Needs the extra [train].
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-out/training}
epochs=${2:-40}

data=$out/datasets/photo2vangogh
mkdir -p "$data/trainA" "$data/trainB"
cp "$here"/pictures/*.jpg "$data/trainA"
cp "$here"/paintings/vangogh_*.jpg "$data/trainB"

cd "$out"
sgt train photo2vangogh --preset tiny --ngf 16 --n-blocks 3 --load-size 144 --crop-size 128 --epochs "$epochs"
sgt export --onnx
sgt images datasets/photo2vangogh/trainA painted --direction A2B
