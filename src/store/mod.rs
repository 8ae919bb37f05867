//! The model store on disk: `<store>/<model>/<version>/model.onnx`, its versions and digests.
