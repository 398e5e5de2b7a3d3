//! An event by e-mail: a plain text over SMTP.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::address::{Address, Envelope};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;

use super::{Failure, Note, text};
use crate::clock::UnixMs;
use crate::config::{Email, Smtp, SmtpTls};
use crate::snapshot::secrets::Secrets;

/// For a whole mail, from the connection to the server's word that it has it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);
/// For one step of the dialogue.
const STEP: Duration = Duration::from_secs(10);
/// Base64 letters of a line (RFC 2045, section 6.8).
const LINE: usize = 76;
/// Bytes of an encoded word of a subject: it may have 75 characters with its frame (RFC 2047, section 2).
const WORD: usize = 45;

/// A mail server and the people behind it.
pub(super) struct Mailer {
    sink: String,
    server: String,
    from: String,
    to: Vec<String>,
    envelope: Envelope,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// What the server may repeat and nobody may read.
    secrets: Secrets,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("server", &self.server).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Mailer {
    pub(super) fn new(sink: &str, email: &Email, extra_roots: Option<&str>) -> Result<Self, String> {
        let address = |text: &String| text.parse::<Address>().map_err(|e| format!("{text}: {e}"));
        let to = email.to.iter().map(address).collect::<Result<Vec<_>, _>>()?;
        let envelope = Envelope::new(Some(address(&email.from)?), to).map_err(|e| e.to_string())?;
        let smtp = &email.smtp;
        let port = port(smtp);
        let domain = email.from.rsplit('@').next().unwrap_or_default().to_owned();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(smtp.host.as_str())
            .port(port)
            .hello_name(ClientId::Domain(domain))
            .timeout(Some(STEP))
            .tls(tls(smtp, extra_roots)?);
        if let (Some(username), Some(password)) = (&smtp.username, &smtp.password) {
            let credentials = Credentials::new(username.clone(), password.expose_secret().to_owned());
            builder = builder.credentials(credentials);
        }
        let secrets = Secrets::new(smtp.password.iter().map(|password| password.expose_secret()));
        let server = format!("{}:{port}", smtp.host);
        let (from, to) = (email.from.clone(), email.to.clone());
        Ok(Self { sink: sink.to_owned(), server, from, to, envelope, transport: builder.build(), secrets })
    }

    /// Whom it writes to, and through whom.
    pub(super) fn shown(&self) -> String {
        format!("{} through {}", self.to.join(", "), self.server)
    }

    /// Sends an event as a mail. Whatever goes wrong, it may go well later: accounts and recipients are put
    /// right without a restart of the gateway.
    pub(super) async fn send(&self, note: &Note<'_>, now: UnixMs) -> Result<(), Failure> {
        let mail = self.write(note, now);
        match tokio::time::timeout(TIMEOUT, self.transport.send_raw(&self.envelope, mail.as_bytes())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let why = error.to_string();
                Err(Failure::new(self.secrets.mask(&why).unwrap_or(why)))
            }
            Err(_) => Err(Failure::new(format!("the mail was not taken within {TIMEOUT:?}"))),
        }
    }

    /// The mail (RFC 5322). Its id is the same at each try, so that a mail program shows it once.
    fn write(&self, note: &Note<'_>, now: UnixMs) -> String {
        let (subject, body) = text::write(note);
        let domain = self.from.rsplit('@').next().unwrap_or_default();
        let head = [
            ("From", self.from.clone()),
            ("To", self.to.join(",\r\n ")),
            ("Subject", header_text(&subject)),
            ("Date", date(now)),
            ("Message-ID", format!("<{}.{}@{domain}>", note.id, self.sink)),
            // RFC 3834: nobody's holiday notice answers it.
            ("Auto-Submitted", "auto-generated".to_owned()),
            ("X-Weir-Event", note.kind.to_owned()),
            ("MIME-Version", "1.0".to_owned()),
            ("Content-Type", "text/plain; charset=utf-8".to_owned()),
            ("Content-Transfer-Encoding", "base64".to_owned()),
        ];
        let head: String = head.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{head}\r\n{}", lines(&STANDARD.encode(body.replace('\n', "\r\n"))))
    }
}

fn port(smtp: &Smtp) -> u16 {
    let usual = match smtp.tls {
        SmtpTls::Starttls => 587,
        SmtpTls::Implicit => 465,
        SmtpTls::None => 25,
    };
    smtp.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(usual)
}

fn tls(smtp: &Smtp, extra_roots: Option<&str>) -> Result<Tls, String> {
    if smtp.tls == SmtpTls::None {
        return Ok(Tls::None);
    }
    let mut builder = TlsParameters::builder(smtp.host.clone());
    if let Some(path) = extra_roots {
        let pem = std::fs::read(path).map_err(|e| format!("SSL_CERT_FILE {path}: {e}"))?;
        let roots = Certificate::from_pem(&pem).map_err(|e| format!("SSL_CERT_FILE {path}: {e}"))?;
        builder = builder.add_root_certificate(roots);
    }
    let parameters = builder.build().map_err(|e| format!("TLS: {e}"))?;
    Ok(if smtp.tls == SmtpTls::Implicit { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}

fn date(now: UnixMs) -> String {
    let at = jiff::Timestamp::from_millisecond(now).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&at).unwrap_or_default()
}

/// A text as a header can have it: as it is, or in encoded words.
fn header_text(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut rest = text;
    let mut words = Vec::new();
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD));
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join("\r\n ")
}

fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push_str("\r\n");
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_of_any_language_fit_a_header() {
        assert_eq!(header_text("plain"), "plain");
        let encoded = header_text(&"größte Ausgabe ".repeat(6));
        assert!(encoded.split("\r\n ").all(|word| word.len() <= 75 && word.starts_with("=?UTF-8?B?")), "{encoded}");
        let decoded: Vec<u8> = encoded
            .split("\r\n ")
            .flat_map(|word| STANDARD.decode(word.trim_start_matches("=?UTF-8?B?").trim_end_matches("?=")).unwrap())
            .collect();
        assert_eq!(String::from_utf8(decoded).unwrap(), "größte Ausgabe ".repeat(6));
    }

    #[test]
    fn dates_and_lines_are_those_of_mail() {
        assert_eq!(date(1_795_000_000_000), "Wed, 18 Nov 2026 11:06:40 +0000");
        assert!(lines(&"a".repeat(200)).lines().all(|line| line.len() <= LINE));
        assert_eq!(lines(""), "");
    }
}
