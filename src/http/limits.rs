//! How much, and for how long. Every number has its reason beside it.

use std::time::Duration;

/// The longest head, blank line included: as much as Apache takes for a request line alone. The
/// form in the path of a GET must fit as well.
pub const MAX_HEAD: usize = 8 * 1024;

/// The most headers of a request: a browser behind two proxies sends about thirty.
pub const MAX_HEADERS: usize = 64;

/// The longest body: the longest text that can be delivered is 1,000 bytes, six times that when
/// each is written as `\u0041`, and there is room for what else a CRM puts into its objects.
pub const MAX_BODY: usize = 8 * 1024;

/// Blank lines before a request: RFC 9112 asks to forgive one.
pub(super) const MAX_BLANKS: u8 = 4;

/// The line with a chunk's size is a few digits; the rest is room for extensions nobody is known
/// to send here.
pub(super) const MAX_SIZE_LINE: usize = 256;

/// Trailers are read only to be skipped: a checksum or a signature fits.
pub(super) const MAX_TRAILERS: usize = 1024;

/// A request is one segment on a local network; over a bad line it is still done in this.
pub const REQUEST_TIME: Duration = Duration::from_secs(5);

/// How long a request may go unanswered. Whoever answers has deadlines of its own; this one makes
/// sure that a reply that got lost costs no place in the table.
pub const ANSWER_TIME: Duration = Duration::from_secs(15);

/// How long a connection may stay open for the next request: a poll every ten seconds keeps it.
pub const IDLE_TIME: Duration = Duration::from_secs(15);

/// How long a reply may wait for a client to read it; counted from the newest reply, so that
/// reading a byte now and then does not keep a connection alive.
pub const WRITE_TIME: Duration = Duration::from_secs(5);

/// How long a client may go on sending before it looks at our last reply.
pub const LINGER_TIME: Duration = Duration::from_secs(1);

/// How many bytes of that are read. A refused upload that is longer may see a reset, not a reply.
pub const LINGER_BYTES: usize = 64 * 1024;

/// No further request is served while so much waits to be read by the client.
pub(super) const ENOUGH_OUTPUT: usize = 4 * 1024;

/// Nothing more is read while a request is being answered and so much has come after it.
pub(super) const ENOUGH_INPUT: usize = 8 * 1024;
