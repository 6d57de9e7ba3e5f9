//! Authentication of connections: both sides prove that they hold the cluster's key.
//!
//! Every member derives the same Ed25519 key pair from the cluster key (HKDF-SHA256, RFC 5869), shows its public half as
//! a raw public key (RFC 7250) in TLS 1.3, and accepts exactly that one. So there are no certificates to make, to
//! distribute or to let expire, and a connection proves what a sealed datagram proves: that the peer is a member. Keys of
//! connections are agreed on anew for each (ephemeral Diffie-Hellman): who comes by the cluster key later cannot read
//! what was recorded before.
//!
//! While members change their keys one after the other, a member shows the pair of the key it seals by and accepts those of
//! all keys it opens. A connection whose other end has shown one that is accepted no longer is closed.
//!
//! Without a cluster key the pair is derived from the cluster's name. That keeps clusters on one machine apart and is no
//! secret; a node without a key listens on loopback only, unless it was told to be insecure.

use std::sync::Arc;

use quinn::TransportConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use ring::hkdf;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id::ED25519,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};

use crate::wire::ClusterKey;

/// What TLS asks for as the name of a server. It is not looked at: the key is the identity.
pub(super) const SERVER_NAME: &str = "cahoots";
/// The protocol inside (ALPN); raised with the layout of streams.
const PROTOCOL: &[u8] = b"cahoots/1";
/// Everything before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410).
const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// First connections, while their handshake waits to be looked at.
const INCOMING_MAX: usize = 64;
/// What such a connection may have sent.
const INCOMING_BYTES_MAX: u64 = 16 << 10;

/// The key pair by which a member shows itself, and those by which it knows others, in the forms TLS wants.
pub(super) struct Identity {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
    members: Arc<Members>,
}

impl Identity {
    /// The identity of the members of this cluster.
    pub(super) fn of(cluster: &str, key: Option<&ClusterKey>, others: &[ClusterKey]) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = |key: Option<&ClusterKey>| {
            let der = [&PKCS8_HEAD[..], &seed(cluster, key)].concat();
            let key = rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der));
            let key = key.expect("any 32 bytes are an Ed25519 private key");
            let public = key.public_key().expect("the public half follows from the private one").to_vec();
            debug_assert!(public.windows(ED25519.len()).any(|part| part == &ED25519[..]));
            (key, public)
        };
        let (key, shown) = pair(key);
        let public = [shown.clone()].into_iter().chain(others.iter().map(|key| pair(Some(key)).1)).collect();
        let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(shown)], key));
        let members = Arc::new(Members { public, algorithms: provider.signature_verification_algorithms });
        Self { provider, key, members }
    }

    /// Whether the other end of a connection has shown a key that is accepted.
    pub(super) fn knows(&self, connection: &quinn::Connection) -> bool {
        let shown = connection.peer_identity().and_then(|it| it.downcast::<Vec<CertificateDer<'static>>>().ok());
        shown.and_then(|it| it.first().map(|first| self.members.check(first, &[]).is_ok())).unwrap_or(false)
    }

    pub(super) fn server_config(&self, transport: Arc<TransportConfig>) -> quinn::ServerConfig {
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let mut tls = builder
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .with_client_cert_verifier(Arc::clone(&self.members) as Arc<dyn ClientCertVerifier>)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.key))));
        tls.alpn_protocols = vec![PROTOCOL.to_vec()];
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0; // connections are few, and a ticket would outlive them
        let quic = QuicServerConfig::try_from(tls).expect("the provider has the suite QUIC begins with");
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(quic));
        config
            .transport_config(transport)
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(INCOMING_MAX as u64 * INCOMING_BYTES_MAX);
        config
    }

    pub(super) fn client_config(&self, transport: Arc<TransportConfig>) -> quinn::ClientConfig {
        self.client_config_with(transport, Arc::clone(&self.members) as Arc<dyn ServerCertVerifier>)
    }

    fn client_config_with(
        &self,
        transport: Arc<TransportConfig>,
        servers: Arc<dyn ServerCertVerifier>,
    ) -> quinn::ClientConfig {
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let mut tls = builder
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .dangerous() // it is not: the verifier takes one key only
            .with_custom_certificate_verifier(servers)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.key))));
        tls.alpn_protocols = vec![PROTOCOL.to_vec()];
        tls.resumption = Resumption::disabled();
        tls.enable_sni = false;
        let quic = QuicClientConfig::try_from(tls).expect("the provider has the suite QUIC begins with");
        let mut config = quinn::ClientConfig::new(Arc::new(quic));
        config.transport_config(transport);
        config
    }
}

/// The private key: a function of the cluster's key and name, and of nothing else.
fn seed(cluster: &str, key: Option<&ClusterKey>) -> [u8; 32] {
    let (secret, kind) = match key {
        Some(key) => (&key.bytes()[..], &b"with a key"[..]),
        None => (&[][..], &b"without a key"[..]),
    };
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"cahoots streams 1");
    let mut seed = [0; 32];
    let extracted = salt.extract(secret);
    let info = [kind, cluster.as_bytes()];
    let expanded = extracted.expand(&info, hkdf::HKDF_SHA256).expect("one block is not too much");
    expanded.fill(&mut seed).expect("the length is that of the hash");
    seed
}

/// Accepts the public keys of the cluster, as a server's and as a client's: one, but for the time of a change.
#[derive(Debug)]
struct Members {
    /// As they travel: each a `SubjectPublicKeyInfo`. The own one first.
    public: Vec<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Members {
    fn check(&self, shown: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        if self.public.iter().any(|public| **shown == **public) && others.is_empty() {
            Ok(())
        } else {
            Err(Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure))
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(&**shown);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

/// TLS 1.2 is not spoken, so that nothing is ever signed by its rules.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
}

impl ServerCertVerifier for Members {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(shown, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Members {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(shown, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// A client that takes any server and shows a key that no cluster has.
#[cfg(test)]
pub(super) fn credulous_client() -> quinn::ClientConfig {
    let nobody = Identity::of("nobody", None, &[]);
    let transport = Arc::new(TransportConfig::default());
    nobody.client_config_with(transport, Arc::new(tests::AnyServer(nobody.members.algorithms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    pub(super) struct AnyServer(pub(super) WebPkiSupportedAlgorithms);

    impl ServerCertVerifier for AnyServer {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            no_tls12()
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            shown: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(&**shown), signature, &self.0)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    }

    fn public(cluster: &str, key: Option<u8>) -> Vec<u8> {
        let key = key.map(|byte| ClusterKey::new([byte; 32]));
        Identity::of(cluster, key.as_ref(), &[]).members.public[0].clone()
    }

    #[test]
    fn members_derive_the_same_key_and_everybody_else_another() {
        let mine = public("c", Some(1));
        assert_eq!(mine, public("c", Some(1)));
        for other in [public("c", Some(2)), public("d", Some(1)), public("c", None), public("d", None)] {
            assert_ne!(mine, other);
        }
        assert_ne!(public("c", None), public("d", None));
    }

    #[test]
    fn the_derivation_is_part_of_the_protocol_and_does_not_change() {
        let seeds = [seed("cahoots", Some(&ClusterKey::new([7; 32]))), seed("cahoots", None)];
        let hex = seeds.map(|seed| seed.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let expected = [
            "b9c851745e95d9f3c808f6a61f8e894fee8f7576c9d533aeb964d0992e846672",
            "c60f89e889eecf7b9b61d17c68e61940a5abb839978abad4d0cff5ebcf3e2385",
        ];
        assert_eq!(hex, expected);
    }

    #[test]
    fn only_the_clusters_own_key_is_accepted() {
        let (mine, other) = (Identity::of("c", None, &[]), Identity::of("d", None, &[]));
        let shown = |identity: &Identity| CertificateDer::from(identity.members.public[0].clone());
        assert!(mine.members.check(&shown(&mine), &[]).is_ok());
        assert!(mine.members.check(&shown(&other), &[]).is_err());
        assert!(mine.members.check(&shown(&mine), &[shown(&mine)]).is_err());
    }

    #[test]
    fn while_keys_change_those_of_before_and_after_are_accepted_and_the_first_is_shown() {
        let (old, new) = (ClusterKey::new([1; 32]), ClusterKey::new([2; 32]));
        let changing = Identity::of("c", Some(&new), std::slice::from_ref(&old));
        assert_eq!(changing.members.public, [public("c", Some(2)), public("c", Some(1))]);
        assert_eq!(changing.key.cert[0].as_ref(), public("c", Some(2)));
        for (key, accepted) in [(1, true), (2, true), (3, false)] {
            let shown = CertificateDer::from(public("c", Some(key)));
            assert_eq!(changing.members.check(&shown, &[]).is_ok(), accepted, "{key}");
        }
    }
}
