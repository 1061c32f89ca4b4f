"""The recipe of the embedded model: rendered scenes → autoencoder → denoiser → a pipeline in diffusers' format."""
