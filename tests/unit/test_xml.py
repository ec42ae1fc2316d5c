"""Rows to XML, XML to answers; hostile bodies, and secrets in the service's texts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api import request_xml, response_xml
from worker.model import Answer, Credential, Echo, EntryError, Family, Realm, Stored

HASH1, HASH1B = "1be6abcaa8e9956021d30f33a3925b99", "e028e6577a0bb1b90a33d30a110dbdfe"
REALM = "acme-0a1b2c.auth.bandwidth.com"
APPLICATION = "7b2f8f6e-1111-2222-3333-abcdefabcdef"
ALICE = Credential("alice", "", REALM, HASH1, HASH1B, APPLICATION)
BOB = Credential("bob", "example.com", REALM, HASH1B, HASH1)

READERS: list[Callable[[bytes], object]] = [
    response_xml.read_answer,
    response_xml.read_status,
    response_xml.read_realms,
    response_xml.read_realm,
    response_xml.read_description,
    response_xml.read_credentials,
    response_xml.read_credential,
]

ASKING = [*(reader for reader in READERS if reader is not response_xml.read_status), response_xml.read_done]
"""Those for which it counts whose answer it is: of a refusal, only what it says."""

LEGAL = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r")
)


def entries(body: bytes) -> list[list[tuple[str, str]]]:
    """Return the body as another parser reads it: for each entry its elements, in order."""
    return [children(entry) for entry in parsed(body)]


def parsed(body: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(body)  # noqa: S314  our own body


def children(element: ElementTree.Element) -> list[tuple[str, str]]:
    return [(child.tag, child.text or "") for child in element]


def response(inner: str, root: str = "SipCredentialsResponse") -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{inner}</{root}>'.encode()


def element(tag: str, inner: str) -> str:
    return f"<{tag}>{inner}</{tag}>"


# Writing


def test_account_family_sends_the_elements_in_the_published_order() -> None:
    """Name and domain apart, the realm with every entry, no element for what is not there."""
    body = request_xml.credentials_xml([ALICE, BOB], Family.ACCOUNT)
    assert body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<SipCredentials>')
    assert entries(body) == [
        [
            ("UserName", "alice"),
            ("Hash1", HASH1),
            ("Hash1b", HASH1B),
            ("Realm", REALM),
            ("HttpVoiceV2AppId", APPLICATION),
        ],
        [
            ("UserName", "bob"),
            ("Domain", "example.com"),
            ("Hash1", HASH1B),
            ("Hash1b", HASH1),
            ("Realm", REALM),
        ],
    ]


def test_realm_family_sends_the_composite_and_no_realm() -> None:
    """The composite goes into UserName; Domain and Realm are left out, since the path names the realm."""
    assert entries(request_xml.credentials_xml([ALICE, BOB], Family.REALM)) == [
        [
            ("UserName", "alice"),
            ("Hash1", HASH1),
            ("Hash1b", HASH1B),
            ("HttpVoiceV2AppId", APPLICATION),
        ],
        [("UserName", "bob@example.com"), ("Hash1", HASH1B), ("Hash1b", HASH1)],
    ]


@given(LEGAL, LEGAL, LEGAL)
def test_every_legal_text_survives_writing(user: str, realm: str, application: str) -> None:
    """Any text that XML can hold is read back exactly, mark-up characters and line breaks included."""
    credential = Credential(user, "", realm, HASH1, HASH1B, application)
    fields = dict(entries(request_xml.credentials_xml([credential], Family.ACCOUNT))[0])
    assert (fields["UserName"], fields["Realm"]) == (user, realm)
    assert fields.get("HttpVoiceV2AppId", "") == application


@pytest.mark.parametrize("character", ["\x00", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff", "\ud800"])
@pytest.mark.parametrize("family", Family)
def test_a_character_that_xml_cannot_hold_is_refused(character: str, family: Family) -> None:
    """No broken document is ever built, and the refusal does not repeat the value."""
    with pytest.raises(ValueError, match="XML can't hold") as caught:
        request_xml.credentials_xml(
            [ALICE, Credential(f"secret{character}", "", REALM, HASH1, HASH1B)], family
        )
    assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="XML can't hold"):
        request_xml.realm_xml("acme", f"a{character}b", False)


def test_an_update_has_what_its_family_takes_and_no_name() -> None:
    """Account family: the realm's host name; realm family: its id first; UserName and Domain in neither."""
    digests = [("Hash1", HASH1B), ("Hash1b", HASH1)]
    assert children(parsed(request_xml.update_xml(BOB))) == [*digests, ("Realm", REALM)]
    assert children(parsed(request_xml.update_xml(BOB, "7"))) == [("RealmId", "7"), *digests]
    application = ("HttpVoiceV2AppId", APPLICATION)
    assert children(parsed(request_xml.update_xml(ALICE)))[-2:] == [("Realm", REALM), application]
    assert children(parsed(request_xml.update_xml(ALICE, "7")))[-1] == application


def test_realm_is_written_with_its_default_always() -> None:
    """Default is sent even when false (1003 without it); an empty description is left out."""
    plain = request_xml.realm_xml("acme", "", False)
    assert children(parsed(plain)) == [("Realm", "acme"), ("Default", "false")]
    described = request_xml.realm_xml("acme", "<Sales> & more", True)
    assert children(parsed(described)) == [
        ("Realm", "acme"),
        ("Description", "<Sales> & more"),
        ("Default", "true"),
    ]


# Reading


def test_a_create_with_good_and_bad_entries() -> None:
    """A 201 holds entries that are stored and, beside them, entries that were refused."""
    body = response(
        f"""
        <ValidSipCredentials>
          <SipCredential><UserName>alice</UserName><Hash1>{HASH1.upper()}</Hash1><Id>17</Id>
            <RealmId>3</RealmId><Realm>{REALM}</Realm></SipCredential>
        </ValidSipCredentials>
        <Errors>
          <Error><ErrorCode>23009</ErrorCode><Description>exists
             on account</Description>
            <SipCredential><Domain>example.com</Domain><UserName>bob</UserName><Hash1>{HASH1B}</Hash1>
            </SipCredential></Error>
          <Error><Description>no echo at all</Description></Error>
        </Errors>"""
    )
    answer = response_xml.read_answer(body)
    assert answer.accepted == (Echo("17", "alice", REALM, HASH1, realm_id="3"),)
    assert answer.refused == (
        EntryError("23009", "exists on account", "bob@example.com", HASH1B),
        EntryError("", "no echo at all"),
    )


CAROL = Credential("carol", "", REALM, HASH1B, HASH1, APPLICATION)
BATCH = [ALICE, CAROL]


def repeated(told: dict[str, str | None], batch: list[Credential] = BATCH, more: str = "") -> bytes:
    """Return an answer that repeats a batch, with ``told`` changed in its last entry; None: left out."""
    whole = [
        {"Id": f"{number}", "RealmId": "3", "UserName": one.user, "Domain": one.domain or None,
         "Hash1": one.hash1, "Hash1b": one.hash1b, "Realm": one.host,
         "HttpVoiceV2AppId": one.application or None}
        for number, one in enumerate(batch, 17)
    ]  # fmt: skip
    whole[-1] |= told
    listed = "\n  ".join(
        element("SipCredential", "".join(element(tag, text) for tag, text in one.items() if text is not None))
        for one in whole
    )
    return response(element("ValidSipCredentials", listed) + more)


@pytest.mark.parametrize("realm_id", ["", "3"])
def test_an_answer_that_repeats_the_batch(realm_id: str) -> None:
    """If an answer repeats the batch only its ids are returned, with domains and unknown elements, too."""
    assert response_xml.read_answer(repeated({}), BATCH, realm_id) == Answer(ids=("17", "18"))
    bob = [replace(BOB, user="rob"), BOB]
    assert response_xml.read_answer(repeated({}, bob), bob, realm_id) == Answer(ids=("17", "18"))
    unknown = repeated({}).replace(b"<Id>", b"<New>x</New><Id>")
    assert response_xml.read_answer(unknown, BATCH, realm_id) == Answer(ids=("17", "18"))
    without = repeated({}).replace(b"<Id>17</Id>", b"").replace(b"<Id>18</Id>", b"")
    assert response_xml.read_answer(without, BATCH, realm_id) == Answer(ids=("", ""))


@pytest.mark.parametrize("invalid", [HASH1, "x" * 65, "\u202e"])
def test_an_invalid_id_of_a_repeated_entry(invalid: str) -> None:
    """An entry with an invalid id stays, and its id counts as missing."""
    assert response_xml.read_answer(repeated({"Id": invalid}), BATCH).ids == ("17", "")


@pytest.mark.parametrize(
    "told",
    [
        {"UserName": "alice"}, {"UserName": "Carol"}, {"UserName": ""}, {"Domain": "example.com"},
        {"Hash1": HASH1}, {"Hash1": HASH1B.upper()}, {"Hash1b": HASH1B}, {"Hash1b": None}, {"Hash1b": ""},
        {"Realm": "other.example"}, {"Realm": ""}, {"HttpVoiceV2AppId": ""}, {"HttpVoiceV2AppId": REALM},
        {"RealmId": "4"}, {"RealmId": ""}, {"Id": None}, {"Id": ""}, {"New": "x"},
    ],
)  # fmt: skip
def test_an_answer_that_differs_from_the_batch(told: dict[str, str | None]) -> None:
    """Entries of an answer that differs are returned one by one, to be compared with their rows."""
    answer = response_xml.read_answer(repeated(told), BATCH, "3")
    assert answer.ids is None
    assert len(answer.accepted) == len(BATCH)


@pytest.mark.parametrize(
    "body",
    [
        repeated({}, more="<Errors><Error><ErrorCode>23009</ErrorCode></Error></Errors>"),
        repeated({}, more="<ValidSipCredentials/>"),
        repeated({}, [CAROL, ALICE]),
        repeated({}, [ALICE, CAROL, replace(CAROL, user="dave")]),
        repeated({}, [CAROL]),
        repeated({}).replace(b"<Id>17", b"<UserName>alice</UserName><Id>17"),
        repeated({}).replace(b"<Id>", b"<Hash1>x</Hash1><Id>"),
        response("<ValidSipCredentials/>"),
        response(""),
    ],
)
def test_an_answer_of_another_shape(body: bytes) -> None:
    """Refusals, a second list, another order or number, or a repeated element make it no repetition."""
    assert response_xml.read_answer(body, BATCH).ids is None


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    "told",
    [
        {}, {"Id": ""}, {"Id": HASH1}, {"Id": None}, {"Id": "x"}, {"Id": "9" * 32}, {"Id": " 7 "},
        {"UserName": " carol "},
        {"UserName": "a b"}, {"UserName": "c" * 32}, {"UserName": HASH1}, {"UserName": "f" * 33},
        {"UserName": "a\u202eb"}, {"UserName": " carol\n"}, {"UserName": None}, {"UserName": ""},
        {"Domain": "example.com"}, {"Domain": ""}, {"Hash1": HASH1.upper()}, {"Hash1": ""}, {"Hash1": None},
        {"Hash1": "x" * 65}, {"Hash1b": "x" * 64}, {"Hash1b": None}, {"Realm": HASH1}, {"Realm": "r" * 256},
        {"Realm": None}, {"HttpVoiceV2AppId": HASH1}, {"HttpVoiceV2AppId": ""}, {"New": "x"},
    ],
)  # fmt: skip
def test_a_page_of_equal_entries_reads_as_others_do(told: dict[str, str | None], number: int) -> None:
    """Pages whose entries have the same elements are read by columns, which changes nothing."""
    batch = [replace(CAROL, user=f"carol{at}") for at in range(number)]

    def page(first: str = "") -> tuple[Stored, ...] | None:
        body = repeated(told, batch).replace(b"ValidSipCredentials", b"SipCredentials")
        with suppress(response_xml.Malformed):
            body = body.replace(b"<SipCredential>", f"<SipCredential>{first}".encode(), 1)
            return response_xml.read_credentials(body).entries
        return None

    assert page() == page("<Other>x</Other>" * 2)


def test_entries_of_a_second_list_belong_to_the_page() -> None:
    """A page may hold them in more than one list."""
    one = repeated({}).replace(b"ValidSipCredentials", b"SipCredentials")
    inner = one[one.index(b"<SipCredentials>") : one.rindex(b"</SipCredentialsResponse>")]
    both = one.replace(inner, inner + inner.replace(b"carol", b"dave"))
    names = [entry.composite for entry in response_xml.read_credentials(both).entries]
    assert names == ["alice", "carol", "alice", "dave"]


def test_a_name_that_could_hold_a_digest_is_no_repetition() -> None:
    """An answer with a name of 32 characters or more is read entry by entry."""
    batch = [ALICE, replace(CAROL, user="c" * 32)]
    assert response_xml.read_answer(repeated({}, batch), batch).ids is None


def test_namespaces_comments_and_order_make_no_difference() -> None:
    """An answer is read by local names: a namespace, a comment or another order changes nothing."""
    body = (
        b'<r:SipCredentialsResponse xmlns:r="urn:x"><!-- c --><r:ValidSipCredentials><?pi?>'
        b"<r:SipCredential><r:Id>1<!-- c -->7</r:Id>"
        b"<r:UserName><![CDATA[a&b]]></r:UserName></r:SipCredential></r:ValidSipCredentials></r:SipCredentialsResponse>"
    )
    assert response_xml.read_answer(body).accepted == (Echo("17", "a&b"),)


@pytest.mark.parametrize(
    ("inner", "composite"),
    [
        ("<UserName>bob</UserName><Domain>example.com</Domain>", "bob@example.com"),
        ("<UserName>bob@example.com</UserName>", "bob@example.com"),
        ("<UserName>bob@Example.com</UserName><Domain>example.COM</Domain>", "bob@Example.com"),
        ("<Domain>example.com</Domain>", ""),
    ],
)
def test_one_identity_however_it_is_spelled(inner: str, composite: str) -> None:
    """UserName and Domain, or user@domain in UserName, give the same composite."""
    body = response(f"<SipCredential>{inner}</SipCredential>", "SipCredentialResponse")
    assert response_xml.read_credential(body).composite == composite


def test_a_digest_left_out_is_not_known() -> None:
    """A digest that a list leaves out is None, and not empty."""
    body = response(
        f"<SipCredential><Id>9</Id><UserName>alice</UserName><Realm>{REALM}</Realm><Hash1>{HASH1}</Hash1>"
        f"<HttpVoiceV2AppId>{APPLICATION}</HttpVoiceV2AppId></SipCredential>",
        "SipCredentialResponse",
    )
    assert response_xml.read_credential(body) == Stored("9", "alice", REALM, HASH1, None, APPLICATION)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            "http://dashboard.bandwidth.com/iris/x?page=bob%40example.com&amp;size=200",
            ("bob@example.com", 200),
        ),
        ("http://elsewhere.example/?size=5000&amp;page=+19195551212", ("+19195551212", 5000)),
        ("http://elsewhere.example/?page=%2B1919", ("+1919", response_xml.PAGE_SIZE)),
        ("http://elsewhere.example/?page=501&amp;size=99999999999", ("501", response_xml.PAGE_SIZE)),
    ],
)
def test_next_page_is_only_a_page_and_a_size(link: str, expected: tuple[str, int]) -> None:
    """Only page and size are taken from the next page's URL; a plus sign stays one, and is never a space."""
    body = response(
        f'<Links><first>Link=&lt;{link}&gt;;rel="first";</first><next>Link=&lt;{link}&gt;;rel="next";</next>'
        "</Links><SipCredentials><SipCredential><UserName>a</UserName></SipCredential></SipCredentials>"
    )
    page = response_xml.read_credentials(body)
    assert page.next == expected
    assert [entry.composite for entry in page.entries] == ["a"]


@pytest.mark.parametrize(
    "link", ["http://elsewhere.example/nothing", f"?page={'x' * 256}&amp;size=5", "?page="]
)
def test_a_next_page_that_is_not_named_is_no_end(link: str) -> None:
    """A list that goes on without naming the next page raises an error, so that no rows are lost."""
    with pytest.raises(response_xml.Malformed, match="next page"):
        response_xml.read_credentials(response(f"<Links><next>{link}</next></Links>"))


def test_the_last_page_has_no_next() -> None:
    """A page with only a first link ends the list."""
    body = response('<Links><first>Link=&lt;http://x/?page=1&amp;size=5&gt;;rel="first";</first></Links>')
    assert response_xml.read_credentials(body) == response_xml.ListPage((), None)


def test_realms_and_their_host_names() -> None:
    """The list and the single answer give host, status, default, description and count."""
    one = (
        f"<Realm><Id>3</Id><Realm>{REALM}</Realm><Description>Sales</Description><Default>true</Default>"
        "<SipCredentialCount>12</SipCredentialCount><Status>ACTIVE</Status></Realm>"
    )
    two = "<Realm><Id>4</Id><Realm>b.auth.bandwidth.com</Realm><Status>CREATE_PENDING</Status></Realm>"
    first = Realm("3", REALM, "ACTIVE", True, "Sales", 12)
    second = Realm("4", "b.auth.bandwidth.com", "CREATE_PENDING")
    assert response_xml.read_realms(response(f"<Realms>{one}{two}</Realms>", "RealmsResponse")) == [
        first,
        second,
    ]
    assert response_xml.read_realm(response(one, "RealmResponse")) == first


def test_a_description_is_read_letter_by_letter() -> None:
    """A description is read exactly, since it is written back: nothing is redacted, cut or folded."""
    text = f"Sales  {HASH1} & {'x' * 600}"
    realm = element("Realm", element("Realm", REALM) + element("Description", text.replace("&", "&amp;")))
    assert response_xml.read_description(response(realm, "RealmResponse")) == text
    assert response_xml.read_description(response(element("Realm", element("Realm", REALM)))) == ""


def test_status_with_and_without_a_code() -> None:
    """A 404 may carry a description and no code; a body without a status gives two empty texts."""
    status = (
        "<ResponseStatus><ErrorCode>33001</ErrorCode><Description>no realm</Description></ResponseStatus>"
    )
    assert response_xml.read_status(response(status, "RealmResponse")) == ("33001", "no realm")
    assert response_xml.read_status(response(status.replace("33001", ""))) == ("", "no realm")
    assert response_xml.read_status(response("")) == ("", "")


# Hostile bodies


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><p>502 Bad Gateway",
        b"<a><b></a>",
        b"<a>&nbsp;</a>",
        b"\xff\xfe<a/>",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
        b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><a b="&y;"/>',
        b"<a>" * 100_000,
    ],
)
def test_only_malformed_comes_out(reader: Callable[[bytes], object], body: bytes) -> None:
    """Every reader raises Malformed for a cut, foreign or dangerous body."""
    with pytest.raises(response_xml.Malformed):
        reader(body)


def test_a_body_above_the_limit_is_not_parsed() -> None:
    """A body over the limit is refused, even though it is well-formed."""
    with pytest.raises(response_xml.Malformed, match="too large"):
        response_xml.read_answer(b"<a>" + b" " * response_xml.SIZE_LIMIT + b"</a>")


def test_malformed_repeats_nothing_of_the_body() -> None:
    """Neither the message nor the exception behind it holds a piece of the body."""
    with pytest.raises(response_xml.Malformed) as caught:
        response_xml.read_answer(f"<canary{HASH1}>".encode())
    assert HASH1 not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("reader", "root"),
    [(response_xml.read_realm, "RealmResponse"), (response_xml.read_credential, "SipCredentialResponse")],
)
def test_an_answer_without_what_was_asked_for(reader: Callable[[bytes], object], root: str) -> None:
    """An answer that lacks what was asked for is Malformed, not empty."""
    with pytest.raises(response_xml.Malformed, match="names no"):
        reader(response("", root))


@pytest.mark.parametrize("reader", ASKING)
@pytest.mark.parametrize(
    "root",
    ["html", 'html xmlns="http://www.w3.org/1999/xhtml"', "R", "SipcredentialsResponses", "MyRealmResponse"],
)
def test_an_answer_of_somebody_else_is_none(reader: Callable[[bytes], object], root: str) -> None:
    """A portal's XHTML, or the answer to another request, is never an empty list or a success."""
    if root == "MyRealmResponse" and reader in (response_xml.read_answer, response_xml.read_done):
        return  # any …Response will do where its entries alone count
    with pytest.raises(response_xml.Malformed, match="no answer"):
        reader(f"<{root}><body><p>Log in</p></body></{root.split()[0]}>".encode())


def test_a_list_of_the_other_kind_is_none() -> None:
    """An answer about realms is no answer about credentials, nor the other way round."""
    with pytest.raises(response_xml.Malformed, match="no answer"):
        response_xml.read_credentials(response("<Realms/>", "RealmsResponse"))
    with pytest.raises(response_xml.Malformed, match="no answer"):
        response_xml.read_realms(response("<SipCredentials/>"))


@pytest.mark.parametrize(
    ("root", "inner"),
    [
        ("SipCredentialsResponse", ""),
        ("SipCredentialsResponse", "<SipCredentials/>"),
        ("SipCredentials", ""),
        ("SipCredentialResponse", "<SipCredential><UserName>a</UserName></SipCredential>"),
        ("AccountResponse", "<X><SipCredential><UserName>a</UserName></SipCredential></X>"),
    ],
)
def test_roots_that_a_list_may_have(root: str, inner: str) -> None:
    """Any root is accepted for a list if it names credentials or holds one."""
    names = [entry.composite for entry in response_xml.read_credentials(response(inner, root)).entries]
    assert names == ["a"] * inner.count("UserName>a")


@pytest.mark.parametrize(
    "inner",
    [
        "<ResponseStatus><Description>The account is locked</Description></ResponseStatus>",
        "<Errors/>",
        "<Errors><Error><SipCredential><UserName>a</UserName></SipCredential></Error></Errors>",
    ],
)
def test_a_refusal_without_a_code_is_no_list(inner: str) -> None:
    """A status in place of entries is no empty list, and an echo within an error is not stored."""
    for reader in (response_xml.read_credentials, response_xml.read_credential):
        with pytest.raises(response_xml.Malformed):
            reader(response(inner))
    with pytest.raises(response_xml.Malformed):
        response_xml.read_realms(response(inner, "RealmsResponse"))


def test_a_refusal_is_the_services_by_its_status() -> None:
    """A 404 counts if the service's own XML says it; any other XML is somebody else's."""
    response_xml.read_refusal(response("<ResponseStatus><Description>no</Description></ResponseStatus>", "R"))
    for body in (b"<html><body>404</body></html>", b'{"message": "Not Found"}', response("")):
        with pytest.raises(response_xml.Malformed):
            response_xml.read_refusal(body)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_an_encoding_in_which_tags_look_otherwise(encoding: str) -> None:
    """A search of the bytes for ErrorCode, or for tags, sees the same text as the parser."""
    text = f'<?xml version="1.0" encoding="{encoding}"?><SipCredentialsResponse>ä</SipCredentialsResponse>'
    for body in (text, "<SipCredentialsResponse/>"):  # with and without a word about it
        with pytest.raises(response_xml.Malformed):
            response_xml.read_done(body.encode(encoding))


def test_an_encoding_that_hides_tags() -> None:
    """UTF-7 is refused, since it may hide a tag's brackets."""
    body = (
        b'<?xml version="1.0" encoding="utf-7"?><SipCredentialsResponse>+ADw-a/+AD4-</SipCredentialsResponse>'
    )
    with pytest.raises(response_xml.Malformed, match="encoding"):
        response_xml.read_done(body)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "us-ascii", "iso-8859-1"])
def test_encodings_that_are_read(encoding: str) -> None:
    """Encodings that a gateway may reasonably use are read."""
    text = f'<?xml version="1.0" encoding="{encoding}"?><SipCredentialsResponse/>'
    response_xml.read_done(text.encode(encoding))


def test_a_body_of_many_elements_is_not_parsed() -> None:
    """The number of elements is limited before parsing, since each takes hundreds of bytes of memory."""
    assert response_xml.read_credentials(response("<a/>" * 900_000)).entries == ()
    with pytest.raises(response_xml.Malformed, match="too large"):
        response_xml.read_credentials(response("<a/>" * 1_000_000))


TAGS = st.sampled_from(
    [
        "SipCredentialsResponse ValidSipCredentials SipCredential Errors Error ErrorCode Description Realms",
        "Realm Id UserName Domain Hash1 Hash1b Default SipCredentialCount Links next first ResponseStatus",
    ]
).flatmap(lambda names: st.sampled_from(names.split()))
LEAVES = st.builds(element, TAGS, st.text("abc@;%?=0123 ²٣é", max_size=12))
TREES = st.recursive(LEAVES, lambda inner: st.builds(element, TAGS, st.lists(inner).map("".join)))


@given(TREES, st.sampled_from(READERS))
def test_any_arrangement_of_known_elements(tree: str, reader: Callable[[bytes], object]) -> None:
    """Known elements in wrong places are read; Malformed is raised only if what was asked for is missing."""
    try:
        assert reader(tree.encode()) is not None
    except response_xml.Malformed:
        assert reader is not response_xml.read_status


@given(st.binary(), st.sampled_from(READERS))
def test_any_bytes(body: bytes, reader: Callable[[bytes], object]) -> None:
    """Any bytes are read or raise Malformed, and no other exception."""
    with suppress(response_xml.Malformed):
        assert reader(body) is not None


# Secrets


@given(
    st.text(max_size=20),
    st.text("0123456789abcdefABCDEF", min_size=32, max_size=80),
    st.text(max_size=20),
)
def test_redaction_leaves_no_digest(before: str, digest: str, after: str) -> None:
    """No run of 32 hex digits survives, in either case, alone or inside a longer run."""
    clean = response_xml.redact(before + digest + after)
    assert "<redacted>" in clean
    assert digest not in clean


def test_redaction_leaves_the_rest() -> None:
    """Ids with hyphens, shorter runs and the words around a digest stay readable."""
    text = f"alice exists on realm with {HASH1}, application {APPLICATION}, id {HASH1[:31]}"
    assert response_xml.redact(text) == text.replace(HASH1, "<redacted>", 1)


def test_texts_of_the_service_come_out_redacted() -> None:
    """The digests that 23026 repeats are gone from the entry's text, the status and a realm's description."""
    said = f"<ErrorCode>23026</ErrorCode><Description>exists: {HASH1}/{HASH1B.upper()}</Description>"
    assert response_xml.read_answer(response(f"<Errors><Error>{said}</Error></Errors>")).refused == (
        EntryError("23026", "exists: <redacted>/<redacted>"),
    )
    assert response_xml.read_status(response(f"<ResponseStatus>{said}</ResponseStatus>")) == (
        "23026",
        "exists: <redacted>/<redacted>",
    )
    realm = f"<Realm><Realm>r</Realm><Description>{HASH1}</Description></Realm>"
    assert response_xml.read_realm(response(realm, "RealmResponse")).description == "<redacted>"


def entry(inner: str) -> str:
    """Return a valid credential with ``inner`` as its last elements, which count."""
    return (
        f"<SipCredential><Id>17</Id><UserName>alice</UserName><Realm>{REALM}</Realm><Hash1>{HASH1}</Hash1>"
        f"<Hash1b>{HASH1B}</Hash1b>{inner}</SipCredential>"
    )


UNFIT = ["x" * 256, f"a{HASH1B.upper()}0", "a\u009b31m", "a\u202eb", "a\u200bb"]
"""Too long, a digest, an escape sequence, what turns a line round, what can't be seen."""


@pytest.mark.parametrize("text", [*UNFIT, HASH1, "x" * 65])
def test_an_id_that_can_not_be_one_counts_as_not_told(text: str) -> None:
    """An invalid id counts as missing, and the entry is kept."""
    page = response_xml.read_credentials(response(entry(element("Id", text))))
    assert page.entries == (Stored("", "alice", REALM, HASH1, HASH1B),)
    answer = response_xml.read_answer(response(element("ValidSipCredentials", entry(element("Id", text)))))
    assert answer.accepted == (Echo("", "alice", REALM, HASH1, HASH1B),)
    realm = element("Realm", element("Id", text) + element("Realm", REALM))
    assert response_xml.read_realm(response(realm, "RealmResponse")) == Realm("", REALM, "")


@pytest.mark.parametrize("text", ["17", "0", APPLICATION, "a-b_c.d:e", "9" * 31])
def test_ids_that_are_told(text: str) -> None:
    """Numbers, UUIDs and anything else that looks like an id are returned."""
    assert response_xml.read_credentials(response(entry(element("Id", text)))).entries[0].id == text


@pytest.mark.parametrize("tag", ["Realm", "HttpVoiceV2AppId"])
@pytest.mark.parametrize("text", [*UNFIT, HASH1])
def test_a_realm_or_an_application_that_can_not_be_one(tag: str, text: str) -> None:
    """An invalid realm or application makes a read Malformed, and is left out of an echo."""
    with pytest.raises(response_xml.Malformed, match="can't be one"):
        response_xml.read_credentials(response(entry(element(tag, text))))
    answer = response_xml.read_answer(response(element("ValidSipCredentials", entry(element(tag, text)))))
    shown = ("", None) if tag == "Realm" else (REALM, "")
    assert answer.accepted == (Echo("17", "alice", shown[0], HASH1, HASH1B, shown[1]),)
    if tag == "Realm":
        with pytest.raises(response_xml.Malformed, match="can't be one"):
            response_xml.read_realm(response(element("Realm", element(tag, text)), "RealmResponse"))


@pytest.mark.parametrize(
    "name",
    [
        *(element("UserName", text) for text in [*UNFIT, HASH1, HASH1B.upper()]),
        *(element("Domain", text) for text in [*UNFIT, HASH1]),
    ],
)
def test_a_name_that_can_not_be_one(name: str) -> None:
    """An invalid name makes a read Malformed; in the answer to a create, the row is looked up."""
    with pytest.raises(response_xml.Malformed, match="can't be one"):
        response_xml.read_credentials(response(entry(name)))
    answer = response_xml.read_answer(
        response(
            element("ValidSipCredentials", entry(name)) + element("Errors", element("Error", entry(name)))
        )
    )
    assert answer.accepted == (Echo("17", "", REALM, HASH1, HASH1B),)
    assert answer.refused == (EntryError("", "", "", HASH1),)


def test_a_name_may_look_like_a_digest() -> None:
    """32 hex digits may be a user name, and are shown unless they are a digest of that entry."""
    name = "0123456789abcdef0123456789ABCDEF"
    for shown in (name, f"{name}@pbx.example"):
        page = response_xml.read_credentials(response(entry(element("UserName", shown))))
        assert page.entries[0].composite == shown


def test_a_digest_has_its_length() -> None:
    """More than the 64 digits that the schema allows is no digest: it is missing, and read singly."""
    stored = response_xml.read_credentials(response(entry(element("Hash1", "a" * 65)))).entries[0]
    assert (stored.hash1, stored.hash1b) == (None, HASH1B)


def test_what_can_not_be_seen_parts_no_digest() -> None:
    """Invisible characters are removed from a text before it is searched for digests."""
    said = f"<ErrorCode>1</ErrorCode><Description>no {HASH1[:9]}\u200b{HASH1[9:]}\u009bJ</Description>"
    assert response_xml.read_status(response(element("ResponseStatus", said))) == ("1", "no <redacted>J")


def test_a_page_hides_its_digests() -> None:
    """The repr of a page of stored credentials shows no digest."""
    page = response_xml.read_credentials(response(f"<SipCredential><Hash1>{HASH1}</Hash1></SipCredential>"))
    assert page.entries[0].hash1 == HASH1
    assert HASH1 not in repr(page)
