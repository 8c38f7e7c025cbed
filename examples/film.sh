#!/bin/sh
# A film in Monet's manner: every frame at its own time, brushwork that stays with what is painted, the sound as it was.
#
#   sh examples/film.sh [FILM] [PAINTED]
#
# Stopped with Ctrl-C or killed, the same line goes on where it was. A finished PAINTED is not overwritten.
set -eu
film=${1:-$(dirname "$0")/clip.mp4}
painted=${2:-out/film.mp4}

mkdir -p "$(dirname "$painted")"
sgt video "$film" "$painted" --to monet
