#!/bin/sh
# What a film would look like: three seconds out of its middle, the source in the left half of the picture.
#
#   sh examples/preview.sh [FILM] [LOOK]
#
# LOOK is overwritten: try --to monet, --strength 0.6 or --keep-colour in the last line, and look again.
set -eu
film=${1:-$(dirname "$0")/clip.mp4}
look=${2:-out/preview.mp4}

mkdir -p "$(dirname "$look")"
sgt video "$film" "$look" --to vangogh --preview 3s --compare split --overwrite
