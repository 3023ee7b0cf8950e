"""What a call keeps of uploaded pictures: bounded, and what they are is said by their bytes."""

import pytest

from relay.files import MAX_FILE_BYTES, MAX_FILES, MAX_KEPT_BYTES, MAX_NAME_CHARS, Files, picture_format

JPEG, PNG, WEBP = b"\xff\xd8\xff\xe0rest", b"\x89PNG\r\n\x1a\nrest", b"RIFF\x10\0\0\0WEBPVP8 "


@pytest.mark.parametrize(("content", "format"), [(JPEG, "image/jpeg"), (PNG, "image/png"), (WEBP, "image/webp")])
def test_a_picture_is_known_by_its_first_bytes(content: bytes, format: str) -> None:
    assert picture_format(content) == format


@pytest.mark.parametrize(
    "content", [b"", b"RIFF\x10\0\0\0WAVE", b"%PDF-1.7", b"GIF89a", b"<svg>", b"\xff\xd8", b"\x89PN"]
)
def test_nothing_else_is_a_picture(content: bytes) -> None:
    assert picture_format(content) is None


def test_a_file_is_taken_once_by_its_url() -> None:
    files = Files()
    one, two = files.put(JPEG, "image/jpeg", "a.jpg"), files.put(PNG, "image/png", "b.png")
    assert one.url != two.url
    assert one.told() == {"name": "a.jpg", "format": "image/jpeg", "source": {"type": "url", "url": one.url}}
    assert files.take(one.url) is one
    assert files.take(one.url) is None
    assert files.take("relay:99") is None
    assert files.take(two.url) is two


def test_the_oldest_are_dropped_for_the_newest_by_number_and_by_size() -> None:
    files = Files()
    urls = [files.put(JPEG, "image/jpeg").url for _ in range(MAX_FILES + 2)]
    assert [files.take(url) is not None for url in urls] == [False] * 2 + [True] * MAX_FILES
    large = bytes(MAX_FILE_BYTES)
    urls = [files.put(large, "image/png").url for _ in range(MAX_KEPT_BYTES // MAX_FILE_BYTES + 1)]
    assert [files.take(url) is not None for url in urls] == [False] + [True] * (len(urls) - 1)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/a.png", "a.png"),
        ("C:\\x\\b.png", "b.png"),
        ("a\r\nb\0.png", "ab.png"),
        ("", "picture"),
        ("/", "picture"),
    ],
)
def test_a_name_is_the_last_part_of_a_path_and_can_be_printed(given: str, kept: str) -> None:
    assert Files().put(PNG, "image/png", given).name == kept


def test_a_name_is_bounded() -> None:
    assert len(Files().put(PNG, "image/png", "x" * 1000).name) == MAX_NAME_CHARS
