"""Which decoder a film's pictures need."""

from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders of these drop transparency


def decoder_for(stream: VideoStream) -> VideoCodecContext:
    """Return the decoder to give the stream's packets to: the stream's own but for VP8 and VP9 with transparency.

    Call its `decode(packet)`, not the stream's.
    """
    context = stream.codec_context
    name = _WITH_ALPHA.get(context.codec.canonical_name)
    if name is None or not has_alpha_track(stream):
        return context
    decoder = CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = context.extradata
    decoder.width, decoder.height = context.width, context.height
    return decoder


def has_alpha_track(stream: VideoStream) -> bool:
    """Whether a Matroska or WebM track says that transparency lies beside its pictures."""
    return any(value == "1" for key, value in stream.metadata.items() if key.lower() == "alpha_mode")
