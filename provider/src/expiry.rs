//! When the certificates of a control plane end: what verb `certs` prints, read.
//!
//! The verb runs `kubeadm certs check-expiration -o json`. Its log may begin or end with warnings of kubeadm on lines of their own.

use jiff::Timestamp;
use serde::Deserialize;

/// One certificate of a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// kubeadm's name of it, like `apiserver` or `admin.conf`.
    pub name: String,
    /// When it ends.
    pub at: Timestamp,
    /// Whether it signs others. Those live ten years, and nothing renews them.
    pub authority: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(default)]
    certificates: Vec<Certificate>,
    #[serde(default)]
    certificate_authorities: Vec<Certificate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    name: String,
    /// Absent, or the year 1, for a file that is not there.
    #[serde(default)]
    expiration_date: Option<Timestamp>,
    #[serde(default)]
    missing: bool,
}

/// Reads the output of verb `certs`: certificates that are there, in kubeadm's order, authorities last.
///
/// # Errors
/// The output holds no report of kubeadm.
pub fn parse(output: &str) -> Result<Vec<Expiry>, serde_json::Error> {
    let start = output
        .find("\n{")
        .map_or_else(|| output.find('{').unwrap_or(0), |line| line + 1);
    let mut reports = serde_json::Deserializer::from_str(&output[start..]).into_iter::<Report>();
    let report = reports.next().unwrap_or_else(|| serde_json::from_str(""))?;
    let read = |authority: bool| {
        move |certificate: Certificate| {
            let at = certificate.expiration_date?;
            (!certificate.missing).then_some(Expiry {
                name: certificate.name,
                at,
                authority,
            })
        }
    };
    let own = report.certificates.into_iter().filter_map(read(false));
    let authorities = report.certificate_authorities.into_iter();
    Ok(own.chain(authorities.filter_map(read(true))).collect())
}

/// The one that ends first, authorities left out.
pub fn first(all: &[Expiry]) -> Option<&Expiry> {
    all.iter()
        .filter(|expiry| !expiry.authority)
        .min_by_key(|expiry| expiry.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "W1126 config not read from the cluster {x}\n{\n \"kind\": \"CertificateExpirationInfo\",\n \"certificates\": [\n  \
        {\"name\": \"apiserver\", \"expirationDate\": \"2027-11-26T10:00:00Z\", \"residualTime\": 31536000, \"caName\": \"ca\", \"externallyManaged\": false},\n  \
        {\"name\": \"admin.conf\", \"expirationDate\": \"2027-10-01T10:00:00Z\"},\n  {\"name\": \"super-admin.conf\", \"missing\": true}],\n \
        \"certificateAuthorities\": [{\"name\": \"ca\", \"expirationDate\": \"2027-01-01T00:00:00Z\"}]\n}\n[check] done\n";

    #[test]
    fn the_report_is_read_from_between_warnings() {
        let all = parse(OUTPUT).unwrap();
        let names: Vec<&str> = all.iter().map(|expiry| expiry.name.as_str()).collect();
        assert_eq!(names, ["apiserver", "admin.conf", "ca"]);
        assert!(all[2].authority);
        assert_eq!(first(&all).unwrap().name, "admin.conf");
        assert!(parse("kubeadm: command not found").is_err());
        assert!(parse("").is_err());
    }
}
