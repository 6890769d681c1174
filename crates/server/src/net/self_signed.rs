//! The certificate of an installation that has none: made once, kept beside the database, shown until the operator names
//! a better one. Phones do not trust it unless they are told to.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};

use super::certificate::{CertificateError, Files};

/// Finds the files of an earlier start in the folder, or makes them: an ECDSA P-256 key, and a certificate for these names
/// (some phones match DNS names only, so the addresses are there as well and not instead).
pub fn find_or_make(folder: &Path, names: &[String]) -> Result<Files, CertificateError> {
    let files = Files {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    };
    if files.certificate.exists() && files.key.exists() {
        return Ok(files);
    }
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = DistinguishedName::new();
    let first = names.first().map_or("offhook", String::as_str);
    parameters
        .distinguished_name
        .push(DnType::CommonName, first);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.not_before = rcgen::date_time_ymd(2025, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2049, 12, 31);
    let certificate = parameters.self_signed(&key)?;
    let failed = |path: &Path| {
        let path: PathBuf = path.into();
        move |source| CertificateError::File { path, source }
    };
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed(folder))?;
    write(&files.key, &key.serialize_pem(), 0o600).map_err(failed(&files.key))?;
    write(&files.certificate, &certificate.pem(), 0o644).map_err(failed(&files.certificate))?;
    Ok(files)
}

/// Writes a file whole or not at all, readable for whom the mode says from its first moment.
pub fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::find_or_make;

    #[test]
    fn a_second_start_finds_the_certificate_of_the_first_and_nobody_else_reads_its_key() {
        let folder = std::env::temp_dir().join(format!("offhook-signed-{}", std::process::id()));
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let files = find_or_make(&folder, &names).unwrap();
        let first = std::fs::read(&files.certificate).unwrap();
        let mode = std::fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(files.load().is_ok());
        assert_eq!(find_or_make(&folder, &names).unwrap(), files);
        assert_eq!(std::fs::read(&files.certificate).unwrap(), first);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
