"""Two thousand hostile texts through everything that reads words of a model; `make fuzz` reads a million."""

from tests.fuzz.campaign import Campaign
from tests.fuzz.hostile_words import LARGE, HostileWords


def test_no_text_hangs_or_crashes_a_reader_and_what_is_accepted_can_be_written_and_read_back():
    campaign = Campaign(seed=0)
    campaign.run(2000)
    assert campaign.broken == []
    assert campaign.accepted > 1000
    assert max(seconds for seconds, _ in campaign.slowest.values()) < 1.0


def test_texts_are_the_same_for_the_same_seed_and_take_64_kilobytes_at_most():
    one, same, other = HostileWords(1, large=0.5), HostileWords(1, large=0.5), HostileWords(2, large=0.5)
    texts = [one.next() for _ in range(300)]
    assert texts == [same.next() for _ in range(300)] != [other.next() for _ in range(300)]
    sizes = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
    assert LARGE * 0.9 < max(sizes) <= LARGE
