//! The `ecru` door: what AWS has no call for (JSON 1.1, SigV4 service `ecru`, target prefix `Ecru_V20261121`, actions `ecru:*`).
