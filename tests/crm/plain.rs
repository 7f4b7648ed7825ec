//! A build without TLS: what it refuses, and that it says so at once.

use std::fs;

use crate::support::daemon::{run, scratch_dir};

#[test]
fn an_https_url_is_refused_at_the_start() {
    let dir = scratch_dir();
    let file = dir.join("salara.conf");
    let path = file.to_str().unwrap();
    for key in ["dest_url", "dest_url_event"] {
        fs::write(&file, format!("[url]\n{key}=HTTPS://crm.example/\n")).unwrap();
        let refused = format!(
            "{path}:2: {key}: this salara is built without TLS: give an http:// URL, or install \
             one with it"
        );
        for arguments in [&["-c", path][..], &["-c", path, "--check"]] {
            let (code, _, stderr) = run(arguments);
            assert_eq!(code, Some(2), "{stderr}");
            assert!(stderr.contains(&refused), "{stderr}");
        }
        fs::write(&file, format!("[url]\n{key}=http://crm.example/\n")).unwrap();
        let (code, _, stderr) = run(&["-c", path, "--check"]);
        assert_eq!(code, Some(0), "{stderr}");
    }
    fs::write(&file, "[security]\ntls_verify=1\ncrm_ca=/nowhere.pem\n").unwrap();
    let (code, _, stderr) = run(&["-c", path, "--check"]);
    assert_eq!(code, Some(0), "{stderr}");
    let said = ":3: crm_ca: has no effect: this salara is built without TLS";
    assert!(stderr.contains(said), "{stderr}");
    let (_, version, _) = run(&["--version"]);
    assert!(version.ends_with(" (without TLS)\n"), "{version}");
    let _ = fs::remove_dir_all(dir);
}
