"""The recipe of the embedded model: art → rendered scenes → autoencoder → denoiser → a pipeline folder; and what
measures it.
"""
