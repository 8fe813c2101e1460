"""Chats between people, of all programs but WhatsApp and Telegram: who wrote what, replies, what is no person's text, two forms of each."""

import json
from typing import Any

import pytest

from edgetune.data.readers.errors import FileError
from tests.data.chats.conftest import Import

HELLO = [("user", "hi?"), ("assistant", "hello")]


def lines(*rows: Any) -> str:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def discord(key: int, name: str, text: str, kind: str = "Default", **more: Any) -> dict[str, Any]:
    """A message of DiscordChatExporter's, a minute after the one before."""
    author = {"id": name, "name": name.lower(), "nickname": name, "isBot": name == "Bot"}
    return {"id": str(key), "type": kind, "timestamp": f"2024-01-01T10:{key:02}:00+00:00", "content": text, "author": author, **more}


def test_discord(imported: Import) -> None:
    rows = [
        discord(1, "Ann", "hi?"),
        discord(2, "Ben", "hello"),
        discord(3, "Bot", "beep"),
        discord(4, "Ann", "Ann started a call.", "Call"),
        discord(5, "Ann", "pinned a message", "ChannelPinnedMessage", reference={"messageId": "1"}),
        discord(6, "Ann", "", attachments=[{"url": "x"}]),
        discord(7, "Ben", "", "Default", stickers=[{"id": "s"}]),
    ]
    direct = {
        "guild": {"id": "0", "name": "Direct Messages"},
        "channel": {"id": "1", "type": "DirectTextChat", "name": "Ann"},
        "messages": rows,
        "messageCount": 7,
    }
    result = imported({"x.json": direct}, me="Ben")
    assert result.sources == ["discord"] and result.dialogs() == [HELLO]
    assert result.counts.left_out == {"by a bot": 1, "call": 1, "notice": 1, "media": 1, "sticker": 1}

    # A server: only what answers a message. A forward has a reference too.
    rows = [
        discord(1, "Ann", "hi?"),
        discord(2, "Cleo", "no"),
        discord(3, "Ben", "hello", "Reply", reference={"messageId": "1"}),
        discord(4, "Ben", "seen", "Default", reference={"messageId": "2", "type": "Forward"}),
    ]
    server = {"guild": {"id": "7", "name": "G"}, "channel": {"id": "1", "type": "GuildTextChat", "name": "c"}, "messages": rows}
    result = imported({"x.json": server}, me="Ben", groups="replies")
    assert result.dialogs() == [HELLO] and result.counts.left_out == {"group chat": 1, "forwarded": 1}


def test_discord_package_has_no_questions(imported: Import) -> None:
    rows = [{"ID": 1234567890123456789, "Timestamp": "2024-01-01 10:00:00", "Contents": "mine", "Attachments": ""}]
    result = imported({"Messages/c1/messages.json": rows, "Messages/c1/channel.json": {"id": "1", "name": "general"}})
    assert result.sources == ["discord_package"] and not result.examples and result.counts.left_out == {"nothing before it": 1}
    older = 'ID,Timestamp,Contents,Attachments\n1,2024-01-01 10:00:00.1+00:00,"two\nlines",\n'
    assert imported({"messages/c1/messages.csv": older}).counts.read == 1


def test_messenger(imported: Import) -> None:
    def message(at: int, name: str, text: str, **more: Any) -> dict[str, Any]:
        return {
            "sender_name": name.encode().decode("latin-1"),
            "timestamp_ms": 1_700_000_000_000 + at * 60_000,
            "content": text.encode().decode("latin-1"),
            **more,
        }

    about = {"participants": [{"name": "Zoë".encode().decode("latin-1")}, {"name": "Ben"}], "title": "Zo", "is_still_participant": True}
    newest = {**about, "messages": [message(4, "Ben", "ciao (edited)"), message(3, "Ben", "cioa"), message(2, "Zoë", "été?")]}
    oldest = {
        **about,
        "messages": [
            {"sender_name": "Ben", "timestamp_ms": 1_700_000_000_000, "photos": [{"uri": "x"}]},
            message(1, "Ben", "Liked a message"),
            message(1, "Ben", "", call_duration=3),
            message(1, "Ben", "gone", is_unsent=True),
        ],
    }
    folder = "your_facebook_activity/messages/inbox/zo_1/"
    result = imported({f"{folder}message_1.json": newest, f"{folder}message_2.json": oldest}, me="Ben")
    assert result.sources == ["messenger"] and result.dialogs() == [[("user", "été?"), ("assistant", "ciao")]]
    assert result.counts.left_out == {"media": 1, "notice": 1, "call": 1, "deleted": 1, "an earlier version": 1}
    assert result.counts.people["Zoë"] == 1

    rows = [
        {"senderName": "Ben", "text": "hello", "timestamp": 2000, "type": "text", "isUnsent": False},
        {"senderName": "Ann", "text": "hi?", "timestamp": 1000, "type": "text"},
    ]
    encrypted = {"participants": ["Ann", "Ben"], "threadName": "Ann_1", "messages": rows}
    assert imported({"Ann_1.json": encrypted}, me="Ben").dialogs() == [HELLO]


SMS = """<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>
<smses count="5" backup_set="x" backup_date="1">
  <sms address="+49 151 2345678" date="1700000000000" type="1" body="hi?" contact_name="Ann" subject="null" />
  <sms address="01512345678" date="1700000060000" type="2" body="hello &#55357;&#56832;" contact_name="null" />
  <sms address="+491512345678" date="1700000120000" type="3" body="a draft" contact_name="Ann" />
  <sms address="01512345678" date="1700000060000" type="2" body="hello &#55357;&#56832;" contact_name="Ann" />
  <mms address="+491512345678" date="1700000180000" msg_box="1" contact_name="Ann">
    <parts><part seq="-1" ct="application/smil" text="&lt;smil/&gt;"/><part seq="0" ct="image/jpeg" data="AAAA"/></parts>
    <addrs><addr address="+491512345678" type="137"/></addrs>
  </mms>
</smses>
"""


def test_sms_backup(imported: Import) -> None:
    result = imported({"sms.xml": SMS})
    assert result.sources == ["sms_backup"] and result.dialogs() == [[("user", "hi?"), ("assistant", "hello 😀")]]
    assert result.counts.left_out == {"not sent": 1, "a copy": 1, "media": 1}
    assert result.counts.people == {"Ann": 2, "you": 3}
    with pytest.raises(FileError, match="not XML that can be read") as failure:
        imported({"sms.xml": SMS.replace("<parts>", "<part>")})
    assert "Line 8" in failure.value.cause


def test_slack(imported: Import) -> None:
    users = [{"id": "U1", "name": "ann", "profile": {"display_name": "Ann"}}, {"id": "U2", "name": "ben", "profile": {"real_name": "Ben"}}]
    blocks = [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "hello there"}]}]}]
    first = [
        {
            "type": "message",
            "ts": "1700000000.000100",
            "thread_ts": "1700000000.000100",
            "user": "U1",
            "text": "&lt;hi&gt; <@U2|b>, see <https://x.example|this>?",
        },
        {"type": "message", "subtype": "channel_join", "ts": "1700000001.000100", "user": "U2", "text": "<@U2> has joined"},
        {"type": "message", "subtype": "bot_message", "ts": "1700000002.000100", "bot_id": "B", "text": "beep"},
    ]
    second = [{"type": "message", "ts": "1700090000.000100", "thread_ts": "1700000000.000100", "user": "U2", "text": "", "blocks": blocks}]
    channel = {"users.json": users, "dms.json": [{"id": "D1"}], "general/2023-11-14.json": first, "general/2023-11-15.json": second}
    result = imported(channel, me="Ben", groups="replies")
    assert result.sources == ["slack"] and result.dialogs() == [[("user", "<hi> @Ben, see this?"), ("assistant", "hello there")]]
    assert result.counts.left_out == {"notice": 1, "by a bot": 1}

    direct = {
        "users.json": users,
        "dms.json": [{"id": "D1"}],
        "D1/2023-11-14.json": first[:1],
        "D1/2023-11-15.json": [{**second[0], "ts": "1700000060.0001"}],
    }
    assert len(imported(direct, me="Ben").examples) == 1


SIGTOP = """Conversation: Ann (+491512345678)

From: Ann (+491512345678)
Type: incoming
Sent: Mon, 01 Jan 2024 10:00:00 +0000

hi?

From: You
Type: outgoing
Sent: Mon, 01 Jan 2024 10:01:00 +0000
Reaction: x from Ann

hello
"""


def test_signal(imported: Import) -> None:
    markdown = (
        "[2024-01-01 10:00:00] Ann: hi?  \n(- Ben: x -)\n[2024-01-01 10:01:00] Me: > hi?\nhello\n[2024-01-01 10:02:00] Me: (( x ))\n"
        "[2024-01-01 10:03:00] Ann: ![a](./media/a.jpg)\n[2024-01-01 10:04:00] Ann: (This message was deleted)\n"
    )
    result = imported({"Ann/chat.md": markdown})
    assert result.sources == ["signal"] and result.dialogs() == [HELLO]
    assert result.counts.left_out == {"sticker": 1, "media": 1, "deleted": 1}

    entries = [
        {"date": "2024-01-01T10:00:00", "sender": "Ann", "body": "hi?"},
        {"date": "2024-01-01T10:01:00", "sender": "Me", "body": "hello"},
    ]
    assert imported({"Ann/data.json": lines(*entries), "Ann/chat.md": markdown}).dialogs() == [HELLO]
    assert imported({"messages.txt": SIGTOP}).dialogs() == [HELLO]

    def item(at: int, **more: Any) -> dict[str, Any]:
        return {"chatItem": {"chatId": "1", "authorId": "2", "dateSent": str(1_700_000_000_000 + at * 60_000), **more}}

    frames = [
        {"version": "1", "backupTimeMs": "1"},
        {"recipient": {"id": "1", "self": {}}},
        {"recipient": {"id": "2", "contact": {"profileGivenName": "Ann", "profileFamilyName": "Lee"}}},
        {"chat": {"id": "1", "recipientId": "2"}},
        item(0, incoming={}, standardMessage={"text": {"body": "hi?"}}),
        item(1, outgoing={}, standardMessage={"text": {"body": "hello"}}),
        item(2, incoming={}, remoteDeletedMessage={}),
        item(3, incoming={}, updateMessage={"individualCall": {}}),
    ]
    result = imported({"main.jsonl": lines(*frames)})
    assert result.dialogs() == [HELLO] and result.counts.left_out == {"deleted": 1, "call": 1}
    assert result.counts.people == {"Ann Lee": 3, "Me": 1}


IMESSAGE = """Jan 01, 2024 10:00:00 AM
Ann
hi?
Tapbacks:
Loved by Me

    Jan 01, 2024 10:02:00 AM
    Me
    hello

Jan 01, 2024  9:59:00 AM Ann renamed the conversation to X

Jan 01, 2024 10:02:00 AM (Read by them after 1 minute)
Me
helo
Edited 10 seconds later: hello
This message responded to an earlier message.

Jan 01, 2024 10:03:00 AM
Ann
/home/x/Attachments/a.heic

Jan 01, 2024 10:04:00 AM
Me
This message was deleted from the conversation!
"""


def test_imessage(imported: Import) -> None:
    result = imported({"Ann.txt": IMESSAGE})
    assert result.sources == ["imessage"] and result.dialogs() == [HELLO]
    assert result.counts.left_out == {"notice": 1, "media": 1, "deleted": 1}


def test_google_chat_and_hangouts(imported: Import) -> None:
    def message(name: str, minute: int, text: str | None) -> dict[str, Any]:
        date = f"Monday, January 1, 2024 at 10:{minute:02}:00\u202fAM UTC"
        entry = {
            "creator": {"name": name, "email": "x", "user_type": "Human"},
            "created_date": date,
            "topic_id": "t",
            "message_id": f"g/t/{minute}",
        }
        return entry if text is None else {**entry, "text": text}

    info = {"members": [{"name": "Ann"}, {"name": "Ben"}]}
    rows = [message("Ann", 0, "hi?"), message("Ben", 1, "hello"), message("Ann", 2, None)]
    result = imported(
        {"Google Chat/Groups/DM 1/messages.json": {"messages": rows}, "Google Chat/Groups/DM 1/group_info.json": info}, me="Ben"
    )
    assert result.sources == ["google_takeout"] and result.dialogs() == [HELLO] and result.counts.left_out == {"deleted": 1}

    def event(who: str, at: int, text: str) -> dict[str, Any]:
        content = {"segment": [{"type": "TEXT", "text": text}]}
        return {"sender_id": {"gaia_id": who}, "timestamp": str(1_700_000_000_000_000 + at), "chat_message": {"message_content": content}}

    people = [{"id": {"gaia_id": "1"}, "fallback_name": "Ann"}, {"id": {"gaia_id": "2"}, "fallback_name": "Ben"}]
    chat = {"conversation": {"conversation": {"participant_data": people}}, "events": [event("2", 9, "hello"), event("1", 1, "hi?")]}
    assert imported({"Hangouts.json": {"conversations": [chat]}}, me="Ben").dialogs() == [HELLO]
    older = {"conversation_state": {"conversation": {"participant_data": people}, "event": chat["events"]}}
    assert imported({"Hangouts.json": {"conversation_state": [older]}}, me="Ben").dialogs() == [HELLO]


def test_gemini(imported: Import) -> None:
    answer = [{"html": "<p>Take <strong>two</strong>:</p><ul><li>a</li><li>b &amp; c</li></ul>"}]
    entries = [
        {
            "header": "Gemini Apps",
            "title": "Prompted a fruit?",
            "time": "2024-01-01T10:00:00Z",
            "products": ["Gemini Apps"],
            "safeHtmlItem": answer,
        },
        {"header": "Gemini Apps", "title": "Used an app", "time": "2024-01-01T10:00:00Z", "products": ["Gemini Apps"]},
    ]
    result = imported({"MyActivity.json": entries})
    assert result.sources == ["gemini"] and result.counts.left_out == {"notice": 1}
    assert result.dialogs() == [[("user", "a fruit?"), ("assistant", "Take **two**:\n\n- a\n- b & c")]]


MBOX = """From ann@x.example Mon Jan  1 10:00:00 2024
From: Ann <ann@x.example>
To: ben@x.example
Subject: =?utf-8?q?the_caf=C3=A9?=
Date: Mon, 1 Jan 2024 10:00:00 +0000
Message-ID: <1@x>
Content-Type: text/plain; charset=utf-8

hi?
-- 
Ann

From ben@x.example Mon Jan  1 11:00:00 2024
From: Ben <BEN@x.example>
Subject: Re: the =?utf-8?q?caf=C3=A9?=
Date: Mon, 1 Jan 2024 11:00:00 +0000
Message-ID: <2@x>
In-Reply-To: <1@x>
Content-Type: text/html; charset=utf-8

<p>hello</p><p>On Mon, Jan 1, 2024 at 10:00, Ann &lt;ann@x.example&gt; wrote:</p><blockquote>&gt; hi?</blockquote>

From ben@x.example Mon Jan  1 11:00:00 2024
From: Ben <BEN@x.example>
Subject: Re: the café
Message-ID: <2@x>
In-Reply-To: <1@x>

hello

From shop@x.example Mon Jan  1 12:00:00 2024
From: shop@x.example
Subject: Sale
Message-ID: <3@x>
List-Unsubscribe: <mailto:x@x.example>

buy
"""


def test_mail(imported: Import) -> None:
    result = imported({"Sent.mbox": MBOX}, me="ben@x.example")
    assert result.sources == ["mbox"]
    turns = result.dialogs()[0]
    assert turns[0] == ("user", "the café\n\nhi?") and turns[1][0] == "assistant" and turns[1][1].startswith("hello")
    assert "wrote" not in turns[1][1]
    assert result.counts.left_out == {"a copy": 1, "a list or advert": 1}
