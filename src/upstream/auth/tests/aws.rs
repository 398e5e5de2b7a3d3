//! Each source of AWS credentials, and which one is asked.

use super::server::{self, Server};
use super::*;

const SECRET: &str = "s3cr3t-of-the-key";
const TOKEN: &str = "t0k3n-of-the-session";

fn made(settings: &AwsSettings, env: &[(&str, &str)], clock: &Clock) -> Result<Arc<dyn Signer>, String> {
    let signer = sigv4(settings, &vars(env), clock.clone(), tls());
    if let Ok(signer) = &signer {
        let shown = format!("{signer:?}");
        assert!(!shown.contains(SECRET) && !shown.contains(TOKEN), "{shown}");
    }
    signer
}

fn in_region() -> AwsSettings {
    AwsSettings { region: Some("us-east-1".to_owned()), ..AwsSettings::default() }
}

fn from_env(env: &[(&str, &str)]) -> Result<Arc<dyn Signer>, String> {
    made(&in_region(), env, &Clock::mock(NOW))
}

/// The access key's id of a signed call, and its session token.
async fn used(signer: &Arc<dyn Signer>) -> Result<(String, String), String> {
    let headers = signed(signer).await.map_err(|e| e.to_string())?;
    let (_, rest) = text(&headers, "authorization").split_once("Credential=").unwrap();
    let id = rest.split('/').next().unwrap().to_owned();
    Ok((id, text(&headers, "x-amz-security-token").to_owned()))
}

fn pair(id: &str, token: &str) -> Result<(String, String), String> {
    Ok((id.to_owned(), token.to_owned()))
}

/// The JSON of metadata endpoints.
fn document(id: &str, expires: &str) -> String {
    serde_json::json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2015-08-30T12:00:00Z",
        "AccessKeyId": id, "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": expires,
    })
    .to_string()
}

#[tokio::test]
async fn the_settings_key_comes_first() {
    let settings = AwsSettings {
        access_key: Some("AKSET".into()),
        secret_key: Some(SECRET.into()),
        session_token: Some(TOKEN.into()),
        ..in_region()
    };
    let env = [("AWS_ACCESS_KEY_ID", "AKENV"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let signer = made(&settings, &env, &Clock::mock(NOW)).unwrap();
    assert_eq!(used(&signer).await, pair("AKSET", TOKEN));
    let shown = format!("{settings:?}");
    assert!(!shown.contains(SECRET) && !shown.contains(TOKEN), "{shown}");
}

#[tokio::test]
async fn the_environments_key_is_used_without_the_blanks_around_it() {
    let env = [("AWS_ACCESS_KEY_ID", " AKENV\n"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_SESSION_TOKEN", "")];
    assert_eq!(used(&from_env(&env).unwrap()).await, pair("AKENV", ""));
}

#[test]
fn half_a_key_is_an_error() {
    let half = |env: &[(&str, &str)]| from_env(env).unwrap_err();
    assert!(half(&[("AWS_ACCESS_KEY_ID", "AK")]).contains("AWS_SECRET_ACCESS_KEY is not"));
    assert!(half(&[("AWS_SECRET_ACCESS_KEY", SECRET)]).contains("AWS_ACCESS_KEY_ID is not"));
    let set = |settings: AwsSettings| made(&settings, &[], &Clock::mock(NOW)).unwrap_err();
    assert!(set(AwsSettings { access_key: Some("AK".into()), ..in_region() }).contains("secret_access_key is missing"));
    assert!(set(AwsSettings { secret_key: Some(SECRET.into()), ..in_region() }).contains("access_key_id is missing"));
    assert!(set(AwsSettings { session_token: Some(TOKEN.into()), ..in_region() }).contains("session_token"));
}

#[test]
fn the_region_is_found_or_asked_for() {
    let dir = files(&[(".aws/config", "[default]\nregion = eu-west-3\n[profile other]\nregion=eu-north-1\n")]);
    let home = dir.path().to_str().unwrap();
    let none = AwsSettings::default();
    let region = |settings: &AwsSettings, env: &[(&str, &str)]| aws_region(settings, &vars(env));
    let all = [("AWS_REGION", "us-west-1"), ("AWS_DEFAULT_REGION", "us-west-2"), ("HOME", home)];
    assert_eq!(region(&in_region(), &all).unwrap(), "us-east-1");
    assert_eq!(region(&none, &all).unwrap(), "us-west-1");
    assert_eq!(region(&none, &all[1..]).unwrap(), "us-west-2");
    assert_eq!(region(&none, &all[2..]).unwrap(), "eu-west-3");
    assert_eq!(region(&none, &[("HOME", home), ("AWS_PROFILE", "other")]).unwrap(), "eu-north-1");
    assert!(region(&none, &[]).unwrap_err().contains("AWS_REGION"));
    assert!(region(&none, &[("AWS_REGION", "evil.example/")]).unwrap_err().contains("us-east-1"));
}

#[tokio::test]
async fn profiles_are_read_from_both_files_and_read_again() {
    let credentials = format!(
        "# keys\n[default]\naws_access_key_id = AKDEF\naws_secret_access_key = {SECRET} # old\n\
         [work]\nAWS_ACCESS_KEY_ID=AKWORK\naws_secret_access_key={SECRET}\naws_session_token={TOKEN}\n"
    );
    let config = format!(
        "[profile work]\naws_access_key_id = AKNO\naws_secret_access_key = no\n\
         [ profile  conf ]\nregion=x\ns3 =\n  aws_access_key_id = nested\naws_access_key_id = AKCONF\naws_secret_access_key = {SECRET}\n\
         [conf]\naws_access_key_id = no-prefix\n"
    );
    let dir = files(&[(".aws/credentials", &credentials), (".aws/config", &config)]);
    let home = dir.path().to_str().unwrap();
    assert_eq!(used(&from_env(&[("HOME", home)]).unwrap()).await, pair("AKDEF", ""));
    assert_eq!(used(&from_env(&[("HOME", home), ("AWS_PROFILE", "work")]).unwrap()).await, pair("AKWORK", TOKEN));
    let settings = AwsSettings { profile: Some("conf".to_owned()), ..in_region() };
    let clock = Clock::mock(NOW);
    // A profile that is asked for by name comes before the environment's key.
    let env = [("HOME", home), ("AWS_ACCESS_KEY_ID", "AKENV"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let signer = made(&settings, &env, &clock).unwrap();
    assert_eq!(used(&signer).await, pair("AKCONF", ""));
    std::fs::write(dir.path().join(".aws/config"), config.replace("AKCONF", "AKNEW")).unwrap();
    assert_eq!(used(&signer).await, pair("AKCONF", ""));
    clock.advance(Duration::from_secs(61));
    assert_eq!(used(&signer).await, pair("AKNEW", ""));
    // A file that is gone takes nothing away.
    std::fs::remove_file(dir.path().join(".aws/config")).unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!(used(&signer).await, pair("AKNEW", ""));
}

#[tokio::test]
async fn the_files_can_be_elsewhere() {
    let text = format!("[p]\naws_access_key_id=AKP\naws_secret_access_key={SECRET}\n");
    let dir = files(&[("a", &text), ("b", &text.replace("[p]", "[profile q]").replace("AKP", "AKQ"))]);
    let home = ("HOME", dir.path().to_str().unwrap());
    let env =
        |profile| [home, ("AWS_SHARED_CREDENTIALS_FILE", "~/a"), ("AWS_CONFIG_FILE", "~/b"), ("AWS_PROFILE", profile)];
    assert_eq!(used(&from_env(&env("p")).unwrap()).await, pair("AKP", ""));
    assert_eq!(used(&from_env(&env("q")).unwrap()).await, pair("AKQ", ""));
    let missing = from_env(&env("r")).unwrap_err();
    assert!(missing.contains("'r' is in none") && missing.contains(home.1), "{missing}");
}

#[test]
fn profiles_that_go_elsewhere_are_refused() {
    let config = "[profile chain]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=default\n\
                  [profile meta]\nrole_arn=arn:aws:iam::1:role/r\ncredential_source=Ec2InstanceMetadata\n\
                  [profile sso]\nsso_session=corp\nsso_account_id=1\n\
                  [profile login]\nlogin_session=arn\n\
                  [profile program]\ncredential_process=/bin/true\n\
                  [profile half]\naws_access_key_id=AK\n\
                  [profile empty]\nregion=us-east-1\n\
                  [sso-session corp]\nsso_region=us-east-1\n";
    let dir = files(&[(".aws/config", config)]);
    let home = dir.path().to_str().unwrap();
    for (profile, why) in [
        ("chain", "source_profile"),
        ("meta", "by another profile"),
        ("sso", "SSO"),
        ("login", "console"),
        ("program", "credential_process"),
        ("half", "only one of"),
        ("empty", "no aws_access_key_id"),
        ("corp", "is in none"),
    ] {
        let error = from_env(&[("HOME", home), ("AWS_PROFILE", profile)]).unwrap_err();
        assert!(error.contains(why) && error.contains(&format!("'{profile}'")), "{profile}: {error}");
    }
}

#[tokio::test]
async fn a_default_profile_without_keys_is_passed_over() {
    let dir = files(&[(".aws/config", "[default]\noutput=json\n")]);
    let server = Server::start(|_| (200, document("AKBOX", "2015-08-30T18:00:00Z"))).await;
    let url = format!("{}/creds", server.url);
    let env = [("HOME", dir.path().to_str().unwrap()), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)];
    assert_eq!(used(&from_env(&env).unwrap()).await, pair("AKBOX", TOKEN));
}

#[tokio::test]
async fn a_container_is_asked_with_its_token_and_again_before_the_end() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => (200, document("AK1", "2015-08-30T13:36:00Z")),
        1 => (500, r#"{"code":"InternalServerError","message":"try later"}"#.to_owned()),
        _ => (200, document("AK2", "2015-08-30T14:36:00Z")),
    })
    .await;
    let dir = files(&[("token", "first-token\n")]);
    let path = dir.path().join("token");
    let env = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*format!("{}/v1/credentials?x=1", server.url)),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path.to_str().unwrap()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "not-this-one"),
    ];
    let clock = Clock::mock(NOW);
    let signer = made(&in_region(), &env, &clock).unwrap();
    assert_eq!((used(&signer).await, used(&signer).await), (pair("AK1", TOKEN), pair("AK1", TOKEN)));
    std::fs::write(&path, "second-token").unwrap();
    clock.advance(Duration::from_secs(56 * 60));
    assert_eq!(used(&signer).await, pair("AK1", TOKEN));
    clock.advance(Duration::from_secs(15));
    assert_eq!(used(&signer).await, pair("AK2", TOKEN));
    let seen: Vec<_> = server.seen().iter().map(|s| (s.line.clone(), s.header("authorization").to_owned())).collect();
    let line = || "GET /v1/credentials?x=1".to_owned();
    let expected =
        [(line(), "first-token".to_owned()), (line(), "second-token".into()), (line(), "second-token".into())];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_containers_refusal_is_told_without_secrets() {
    for (status, body, why) in [
        (403, r#"{"code":"AccessDenied","message":"no role"}"#.to_owned(), "403 Forbidden: no role"),
        (404, "not found".to_owned(), "404"),
        (200, format!("<{SECRET}"), "not the JSON"),
        (200, format!(r#"{{"SecretAccessKey":"{SECRET}"}}"#), "lacks AccessKeyId"),
        (200, document("AK", "tomorrow"), "'tomorrow' is no time"),
        (200, document("AK", "2015-08-30T12:00:00Z"), "expired"),
        (200, "x".repeat(300_000), "larger than"),
        (302, String::new(), "302"),
    ] {
        let told = body.clone();
        let server = Server::start(move |_| (status, told.clone())).await;
        let env = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*format!("{}/?secret=1", server.url)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN),
        ];
        let error = used(&from_env(&env).unwrap()).await.unwrap_err();
        assert!(error.contains(why), "{error}");
        assert!(!error.contains(SECRET) && !error.contains(TOKEN) && !error.contains("secret=1"), "{error}");
        assert_eq!(server.seen()[0].header("authorization"), TOKEN);
    }
    let env = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/no/such/file"),
    ];
    assert!(used(&from_env(&env).unwrap()).await.unwrap_err().contains("/no/such/file"));
    let env = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://credentials.example/")];
    assert!(from_env(&env).unwrap_err().contains("not allowed"));
}

/// The answer of STS as its reference shows it.
fn sts(id: &str, expires: &str) -> String {
    format!(
        r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:serviceaccount:default:weir</SubjectFromWebIdentityToken>
    <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/weir</Arn><AssumedRoleId>ARO:weir</AssumedRoleId></AssumedRoleUser>
    <Credentials>
      <SessionToken>{TOKEN}</SessionToken>
      <SecretAccessKey>{SECRET}</SecretAccessKey>
      <Expiration>{expires}</Expiration>
      <AccessKeyId>{id}</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>"#
    )
}

#[tokio::test]
async fn a_web_identity_is_exchanged_at_sts() {
    let server = Server::start(|_| (200, sts("ASIAWEB", "2015-08-30T13:36:00Z"))).await;
    let dir = files(&[("token", "header.claims+/.sign=\n")]);
    let path = dir.path().join("token");
    let env = [
        ("AWS_ENDPOINT_URL_STS", server.url.as_str()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ROLE_SESSION_NAME", "me@example"),
    ];
    let clock = Clock::mock(NOW);
    let signer = made(&in_region(), &env, &clock).unwrap();
    assert_eq!(used(&signer).await, pair("ASIAWEB", TOKEN));
    std::fs::write(&path, "newer").unwrap();
    clock.advance(Duration::from_secs(55 * 60));
    assert_eq!(used(&signer).await, pair("ASIAWEB", TOKEN));
    let seen = server.seen();
    assert_eq!((seen.len(), seen[0].line.as_str()), (2, "POST /"));
    let form = seen[0].form();
    let field = |name: &str| form[name].as_str();
    assert_eq!((field("Action"), field("Version")), ("AssumeRoleWithWebIdentity", "2011-06-15"));
    assert_eq!((field("RoleArn"), field("RoleSessionName")), ("arn:aws:iam::1:role/r", "me@example"));
    assert_eq!(field("WebIdentityToken"), "header.claims+/.sign=");
    assert_eq!(seen[1].form()["WebIdentityToken"], "newer");
    let without_role = from_env(&env[..2]).unwrap_err();
    assert!(without_role.contains("AWS_ROLE_ARN is not"), "{without_role}");
}

#[tokio::test]
async fn a_profile_can_name_a_web_identity() {
    let server = Server::start(|_| (200, sts("ASIAPROF", "2015-08-30T13:36:00Z"))).await;
    let dir = files(&[
        ("token", "jwt"),
        (".aws/config", "[profile web]\nrole_arn=arn:aws:iam::1:role/p\nweb_identity_token_file=~/token\n"),
    ]);
    let env =
        [("HOME", dir.path().to_str().unwrap()), ("AWS_PROFILE", "web"), ("AWS_ENDPOINT_URL_STS", server.url.as_str())];
    assert_eq!(used(&from_env(&env).unwrap()).await, pair("ASIAPROF", TOKEN));
    assert_eq!(server.seen()[0].form()["RoleArn"], "arn:aws:iam::1:role/p");
}

#[tokio::test]
async fn what_sts_refuses_is_told() {
    let fault = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>\
                 <Message>No OpenIDConnect provider found &amp; such</Message></Error></ErrorResponse>";
    for (status, body, why) in [
        (400, fault.to_owned(), "InvalidIdentityToken: No OpenIDConnect provider found & such"),
        (200, "<Nothing/>".to_owned(), "lacks Expiration"),
        (200, sts("AK", "2015-08-30T12:00:00Z"), "expired"),
    ] {
        let told = body.clone();
        let server = Server::start(move |_| (status, told.clone())).await;
        let dir = files(&[("token", TOKEN)]);
        let path = dir.path().join("token");
        let env = [
            ("AWS_ENDPOINT_URL_STS", server.url.as_str()),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", path.to_str().unwrap()),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ];
        let signer = from_env(&env).unwrap();
        let error = used(&signer).await.unwrap_err();
        assert!(error.contains(why) && !error.contains(SECRET) && !error.contains(TOKEN), "{error}");
        std::fs::remove_file(&path).unwrap();
    }
}

/// An instance's metadata service that insists on version 2.
fn instance(seen: &server::Seen) -> (u16, String) {
    let authorized = seen.header("x-aws-ec2-metadata-token") == "imds-session";
    match seen.line.as_str() {
        "PUT /latest/api/token" if seen.header("x-aws-ec2-metadata-token-ttl-seconds") == "300" => {
            (200, "imds-session".to_owned())
        }
        _ if !authorized => (401, String::new()),
        "GET /latest/meta-data/iam/security-credentials/" => (200, "gateway-role\n".to_owned()),
        "GET /latest/meta-data/iam/security-credentials/gateway-role" => {
            (200, document("ASIAROLE", "2015-08-30T18:36:00Z"))
        }
        _ => (404, String::new()),
    }
}

#[tokio::test]
async fn an_instances_role_is_the_last_resort() {
    let server = Server::start(instance).await;
    let endpoint = format!("{}/", server.url);
    let signer = from_env(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint)]).unwrap();
    assert_eq!((used(&signer).await, used(&signer).await), (pair("ASIAROLE", TOKEN), pair("ASIAROLE", TOKEN)));
    assert_eq!(
        server.lines(),
        [
            "PUT /latest/api/token",
            "GET /latest/meta-data/iam/security-credentials/",
            "GET /latest/meta-data/iam/security-credentials/gateway-role"
        ]
    );
    let off = from_env(&[("AWS_EC2_METADATA_DISABLED", "TRUE"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint)]);
    let off = off.unwrap_err();
    assert!(off.contains("AWS_EC2_METADATA_DISABLED") && off.contains("AWS_ACCESS_KEY_ID"), "{off}");
    let wrong = from_env(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "no url")]).unwrap_err();
    assert!(wrong.contains("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "{wrong}");
}

#[tokio::test]
async fn an_instance_without_a_role_says_so() {
    for (role, answer, why) in [
        ((404, ""), (200, ""), "no role is attached"),
        ((200, "../../evil"), (200, ""), "names no role"),
        ((200, ""), (200, ""), "names no role"),
        ((200, "r"), (200, r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"not yours"}"#), "not yours"),
        ((200, "r"), (404, ""), "the credentials of role r"),
    ] {
        let server = Server::start(move |seen| {
            let (status, text) = match seen.line.as_str() {
                "PUT /latest/api/token" => (200, "imds-session"),
                line if line.ends_with('/') => role,
                _ => answer,
            };
            (status, text.to_owned())
        })
        .await;
        let error = used(&from_env(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url)]).unwrap()).await.unwrap_err();
        assert!(error.contains(why) && error.contains("no key or profile is set"), "{error}");
    }
    // Nobody is there.
    let signer = from_env(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")]).unwrap();
    assert!(used(&signer).await.unwrap_err().contains("cannot connect"));
}
