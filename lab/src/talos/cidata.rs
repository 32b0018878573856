//! What Talos reads of a `cidata` image beside the machine configuration: name and addresses (contracts/proxmox.md section 7).

use ipnet::IpNet;
use serde_json::Value;

/// `local-hostname` or `hostname` of `meta-data`.
pub(super) fn hostname(meta_data: &str) -> Option<String> {
    let value: Value = serde_yaml_ng::from_str(meta_data).ok()?;
    ["local-hostname", "hostname"]
        .iter()
        .find_map(|key| value[*key].as_str())
        .map(str::to_owned)
}

/// Static addresses of the network card, from `network-config` of version 1 or 2.
///
/// # Errors
/// `LAB-UNKNOWN` for what is neither.
pub(super) fn addresses(network_config: &str, mac: &str) -> Result<Vec<IpNet>, String> {
    if network_config.trim().is_empty() {
        return Ok(Vec::new());
    }
    let value: Value = serde_yaml_ng::from_str(network_config)
        .map_err(|error| format!("reading network-config: {error}"))?;
    // cloud-init's own files wrap it, NoCloud's do not.
    let value = value.get("network").unwrap_or(&value);
    match value["version"].as_u64() {
        Some(1) => first(value, mac),
        Some(2) => second(value, mac),
        _ => Err("LAB-UNKNOWN: a network-config that has neither version 1 nor 2".into()),
    }
}

fn is_this(card: &Value, mac: &str) -> bool {
    card.as_str()
        .is_none_or(|own| own.eq_ignore_ascii_case(mac))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn net(text: &str) -> Result<IpNet, String> {
    text.parse()
        .map_err(|_| format!("network-config: {text:?} is no address with a prefix"))
}

fn first(value: &Value, mac: &str) -> Result<Vec<IpNet>, String> {
    let mut all = Vec::new();
    for card in array(&value["config"]) {
        if card["type"] != "physical" || !is_this(&card["mac_address"], mac) {
            continue;
        }
        for subnet in array(&card["subnets"]) {
            let kind = subnet["type"].as_str().unwrap_or_default();
            if !kind.starts_with("static") {
                continue;
            }
            let address = subnet["address"].as_str().unwrap_or_default();
            let address = match subnet["netmask"].as_str() {
                Some(mask) if !address.contains('/') => {
                    let bits = mask
                        .parse::<std::net::Ipv4Addr>()
                        .map(|mask| u32::from(mask).count_ones())
                        .map_err(|_| format!("network-config: netmask {mask:?}"))?;
                    format!("{address}/{bits}")
                }
                _ => address.to_owned(),
            };
            all.push(net(&address)?);
        }
    }
    Ok(all)
}

fn second(value: &Value, mac: &str) -> Result<Vec<IpNet>, String> {
    let mut all = Vec::new();
    for card in value["ethernets"].as_object().into_iter().flatten() {
        if !is_this(&card.1["match"]["macaddress"], mac) {
            continue;
        }
        for address in array(&card.1["addresses"]) {
            all.push(net(address.as_str().unwrap_or_default())?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: &str = "BC:24:11:00:00:01";

    #[test]
    fn both_versions_name_the_addresses_of_the_card() {
        let one = "version: 1\nconfig:\n- type: physical\n  name: eth0\n  mac_address: bc:24:11:00:00:01\n  subnets:\n  - type: static\n    address: 192.0.2.11\n    netmask: 255.255.255.0\n- type: physical\n  mac_address: bc:24:11:00:00:02\n  subnets: [{type: static, address: 192.0.2.12/24}]\n";
        let two = "version: 2\nethernets:\n  eth0:\n    match: {macaddress: 'bc:24:11:00:00:01'}\n    addresses: [192.0.2.11/24]\n  eth1:\n    match: {macaddress: 'bc:24:11:00:00:02'}\n    addresses: [192.0.2.12/24]\n";
        for text in [one, two] {
            assert_eq!(
                addresses(text, MAC),
                Ok(vec!["192.0.2.11/24".parse().unwrap()]),
                "{text}"
            );
        }
        assert_eq!(addresses("", MAC), Ok(Vec::new()));
        assert!(addresses("version: 3\n", MAC).is_err());
    }
}
