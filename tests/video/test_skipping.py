import av
import pytest

from eva_lightning.video.skipping import nothing_refers_to, unit_length_bytes


def unit(kind, referred, payload=b"\x11\x22"):
    """One unit of an H.264 packet, its length before it in four bytes."""
    data = bytes([referred << 5 | kind]) + payload
    return len(data).to_bytes(4, "big") + data


def packet(*units):
    return av.Packet(b"".join(units))


def test_a_packet_is_left_out_only_if_none_of_its_units_is_referred_to():
    delimiter, notes, slice_of_b, slice_of_p, settings = (
        unit(9, 0),
        unit(6, 0),
        unit(1, 0),
        unit(1, 2),
        unit(7, 3),
    )
    assert nothing_refers_to(packet(delimiter, notes, slice_of_b, slice_of_b), 4)
    assert not nothing_refers_to(packet(delimiter, slice_of_p), 4)
    assert not nothing_refers_to(packet(slice_of_b, slice_of_p), 4)  # two fields
    assert not nothing_refers_to(packet(settings, slice_of_b), 4)  # later pictures need the settings


def test_a_packet_that_makes_no_sense_is_not_left_out():
    whole = unit(1, 0)
    assert not nothing_refers_to(av.Packet(whole[:-1]), 4)
    assert not nothing_refers_to(av.Packet(whole + b"\x00"), 4)
    assert nothing_refers_to(av.Packet(b"\x00\x02\x01\x11"), 2)


@pytest.mark.parametrize(
    ("kind", "length"), [("h264", 4), ("transport stream", 0), ("hevc open gop", 0), ("vp9", 0)]
)
def test_packets_say_so_themselves_in_mp4(kind, length, videos):
    with av.open(str(videos[kind].path)) as container:
        assert unit_length_bytes(container.streams.video[0].codec_context) == length


def test_with_three_b_pictures_between_p_pictures_two_of_four_are_left_out(video):
    with av.open(str(video.path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    left_out = sum(nothing_refers_to(p, 4) for p in packets)
    assert len(packets) == 150 and 60 <= left_out <= 75


@pytest.mark.parametrize("destroyed", [slice(0, None), slice(4, None), slice(4, 24)])
def test_a_destroyed_packet_is_not_left_out_whatever_it_referred_to(destroyed):
    data = bytearray(unit(1, 2, bytes(range(1, 32))))
    data[destroyed] = bytes(len(data[destroyed]))
    assert not nothing_refers_to(av.Packet(bytes(data)), 4)


def test_a_packet_without_a_slice_is_not_left_out():
    assert not nothing_refers_to(packet(unit(9, 0), unit(6, 0)), 4)
