"""What the scripts share: everything that does not differ between one GAN and another."""
