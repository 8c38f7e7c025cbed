#!/bin/sh
# A folder of photographs in Van Gogh's manner.
#
#   sh examples/folder.sh [PHOTOS] [OUT]
#
# PHOTOS may be a tree; OUT gets the same one. Typed again, it does what is new or changed there, and nothing else.
set -eu
photos=${1:-$(dirname "$0")/pictures}
out=${2:-out/folder}

sgt images "$photos" "$out" --to vangogh
