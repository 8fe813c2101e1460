"""The one door to the network: ask a Hugging Face hub about a model and stream one file. Only `edgetune fetch` opens it.

huggingface_hub stays offline by its constant (HF_HUB_OFFLINE, read when it is imported); `online` lifts that for its block alone.
Telemetry stays off: with HF_HUB_DISABLE_TELEMETRY no agent registry is asked and the user agent names no other package.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from edgetune import __version__
from edgetune.errors import EdgeTuneError, InputError

LIBRARY: Any = {"library_name": "edgetune", "library_version": __version__}
NETWORK_NOTE = "used only by 'edgetune fetch': EdgeTune works offline"
"""What reports say about the network."""
DOWNLOAD_CHUNK_BYTES = 256 * 2**10
"""Bytes after which what came is on its way to the disk. huggingface_hub's own 10 MB are lost whenever a connection breaks."""
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class RemoteFile:
    r"""A file as the hub lists it. sha256: of LFS files. blob: git's SHA-1 of "blob SIZE\0" and the content, of the others."""

    name: str
    size: int
    sha256: str
    blob: str


@dataclass(frozen=True)
class Repo:
    """A model on a hub at one commit."""

    name: str
    endpoint: str
    commit: str
    licence: str
    gated: bool
    files: list[RemoteFile]

    @property
    def page(self) -> str:
        """Where a person reads about it."""
        return f"{self.endpoint}/{self.name}"


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, else huggingface_hub's own."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


@contextmanager
def online(repo: str, token: str | None) -> Iterator[None]:
    """Lift the offline setting for this block, and turn what the hub answers into errors with a remedy."""
    import httpx2
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    before = constants.HF_HUB_OFFLINE, constants.DOWNLOAD_CHUNK_SIZE
    constants.HF_HUB_OFFLINE, constants.DOWNLOAD_CHUNK_SIZE = False, DOWNLOAD_CHUNK_BYTES

    # What huggingface_hub raises says little to a person; each becomes an error with a remedy.
    try:
        yield
    except errors.GatedRepoError as error:
        raise gated(repo, token) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"{repo} has no such revision", "The hub does not know it.", "Name a branch, tag or commit of the model with --revision."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"There is no model {repo} at {endpoint()}",
            "It does not exist, or it is private.",
            "Check OWNER/NAME. For a private model give a token (HF_TOKEN or --token-file).",
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise gated(repo, token) from error
        raise EdgeTuneError(
            f"The hub answered {status}", f"{repo} at {endpoint()}.", "Try again later: what was fetched is kept."
        ) from error
    except httpx2.HTTPError as error:
        raise EdgeTuneError(
            f"The connection to {endpoint()} failed",
            f"{type(error).__name__}: {error}",
            "Check the network, then give the same command: it resumes where it stopped.",
        ) from error

    finally:
        constants.HF_HUB_OFFLINE, constants.DOWNLOAD_CHUNK_SIZE = before


def gated(repo: str, token: str | None) -> EdgeTuneError:
    """What to do about a model whose owner asks for consent."""
    return EdgeTuneError(
        f"{repo} is gated",
        "The token given has no access to it." if token else "Its owner asks for consent to terms first, and no token was given.",
        f"Accept the terms at {endpoint()}/{repo} while logged in, make a read token in your account's settings, "
        "and give it in the variable HF_TOKEN or with --token-file FILE.",
    )


def look_up(name: str, revision: str | None, token: str | None) -> Repo:
    """Ask the hub for a model's files and licence. Raises InputError for a name that is none, or a listing that is hostile."""
    if not _REPO.fullmatch(name) or ".." in name or "--" in name:
        raise InputError(f"'{name[:80]}' is not a model's name", "A model on a hub is named OWNER/NAME.", "'edgetune fetch' lists some.")
    from huggingface_hub import HfApi

    with online(name, token):
        api = HfApi(endpoint=endpoint(), token=token or False, **LIBRARY)
        try:
            info: Any = api.model_info(name, revision=revision, files_metadata=True, timeout=30)
            card = info.card_data.to_dict() if info.card_data else {}
            files = [_file(s) for s in info.siblings or []]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EdgeTuneError(
                f"{endpoint()} sent an unusable answer", f"{type(error).__name__}: {error}", "Check the address in HF_ENDPOINT."
            ) from error
    if not _COMMIT.fullmatch(str(info.sha)):
        raise EdgeTuneError(f"{endpoint()} sent an unusable answer", "It named no commit.", "Check the address in HF_ENDPOINT.")
    return Repo(name, endpoint(), info.sha, _licence(card, info.tags or []), bool(info.gated), files)


def _file(sibling: Any) -> RemoteFile:
    lfs = sibling.lfs
    return RemoteFile(str(sibling.rfilename), int(sibling.size or 0), str(lfs.sha256) if lfs else "", str(sibling.blob_id or ""))


def _licence(card: dict[str, Any], tags: list[str]) -> str:
    """The licence as the model's card names it."""
    named = card.get("license") or next((t.removeprefix("license:") for t in tags if t.startswith("license:")), "")
    named = ", ".join(map(str, named)) if isinstance(named, list) else str(named)
    if named == "other" and card.get("license_name"):
        named = str(card["license_name"])
    return f"{named} ({card['license_link']})" if named and card.get("license_link") else named or "not stated"


def download(repo: Repo, file: RemoteFile, to: BinaryIO, have: int, token: str | None) -> None:
    """Append the rest of a file, from byte `have` on. A connection that breaks is taken up again a few times."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars

    disable_progress_bars()
    url = hf_hub_url(repo.name, file.name, revision=repo.commit, endpoint=repo.endpoint)
    # Bytes as they are: a compressed answer could not be continued in its middle.
    headers = build_hf_headers(token=token or False, **LIBRARY) | {"Accept-Encoding": "identity"}
    with online(repo.name, token):
        http_get(url, to, resume_size=have, headers=headers, expected_size=file.size)
